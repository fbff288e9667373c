"""What the measured effects of several runs say together: rows by seeds."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from causal_mlr_jax.core import atomic_files
from causal_mlr_jax.studies.effects.report import COLUMNS, MEASURES, TITLES
from causal_mlr_jax.sweep import aggregate as runs_lib
from causal_mlr_jax.sweep.aggregate import Row

# What a measurement leaves in the folder of its run, one of the two.
RESULT, FAILED = "effects/effects.json", "effects/failed.json"
COUNTED = "training_labels"

# A line's name and source, and its numbers by seed and measure.
Numbers = Mapping[int, Mapping[str, float | None]]
Line = tuple[Mapping[str, str], Numbers]


def result_of(
  folder: pathlib.Path, settings: Mapping[str, Any]
) -> dict[str, Any] | None:
  """Returns what was measured on a run, None if it was not.

  Args:
    folder: of the run.
    settings: the section `effects` of the configuration; what was measured
      with another one does not count.
  """
  path = folder / RESULT
  if not path.exists():
    return None
  result = atomic_files.read_json(path)
  return result if result["settings"] == settings else None


def aggregate(
  rows: Sequence[Row], settings: Mapping[str, Any], **about: Any
) -> dict[str, Any]:
  """Returns all numbers of a table, fit for JSON; unknown ones are None.

  `recovery` has a line for each row and source of effects, and one for the
  training labels, which all rows share; `reliance` has a line for each row. A
  row that nothing is known of has one empty line in both. Either is None where
  the data set does not allow it: its causal model is not known, its images
  cannot be drawn anew. Differences are to the first line, as of
  `aggregate.cell`.

  Args:
    rows: whose measurements are read.
    settings: as of `result_of`.
    **about: `table`, `title`, `config`, `note`: strings that are kept.
  """
  runs = [
    {seed: _run(folder, settings) for seed, folder in row.folders.items()}
    for row in rows
  ]
  results = [
    {seed: run["result"] for seed, run in own.items() if run["result"]}
    for own in runs
  ]
  known = [result for own in results for result in own.values()]
  truth = [
    "recovery" in source
    for result in known
    for source in result["sources"].values()
  ]
  redrawn = [result["reliance"] is not None for result in known]
  return about | {
    "settings": dict(settings),
    "split": known[0]["split"] if known else None,
    "seeds": sorted({seed for row in rows for seed in row.folders}),
    "rows": [
      {"name": row.name, "note": row.note, "runs": _without_result(own)}
      for row, own in zip(rows, runs, strict=True)
    ],
    "recovery": _recovery(rows, results) if any(truth) or not known else None,
    "reliance": _reliance(rows, results) if any(redrawn) or not known else None,
  }


def _run(folder: pathlib.Path, settings: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the state of a run, and what was measured if it is done."""
  result = result_of(folder, settings)
  trained = (folder / runs_lib.REPORT).exists()
  failed = folder / (FAILED if trained else runs_lib.FAILED)
  found = runs_lib.state(folder, result is not None, failed)
  if found["reason"]:
    what = "measurement" if trained else "training"
    found["reason"] = f"{what}, {found['reason']}"
  return found | {"result": result}


def _without_result(runs: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
  return {
    str(seed): {key: value for key, value in run.items() if key != "result"}
    for seed, run in runs.items()
  }


def _recovery(
  rows: Sequence[Row], results: Sequence[Mapping[int, Mapping[str, Any]]]
) -> list[dict[str, Any]]:
  """Returns the lines on the causal edges: interventions before scores."""
  lines: list[Line] = []
  keys = list(COLUMNS.values())
  for row, own in zip(rows, results, strict=True):
    there = {source for result in own.values() for source in result["sources"]}
    for source in reversed(TITLES):
      if source in there - {COUNTED}:
        about = {"row": row.name, "source": source}
        lines.append((about, _of_source(own, source)))
    if not own:
      lines.append(({"row": row.name, "source": ""}, {}))
  every = {seed: found for own in results for seed, found in own.items()}
  if not every:
    return _compared(lines, keys)
  about = {"row": TITLES[COUNTED], "source": COUNTED}
  found = _compared([*lines, (about, _of_source(every, COUNTED))], keys)
  for cell in found[-1]["cells"].values():
    cell["half_width"] = None  # no seed has a say in it
  return found


def _of_source(
  results: Mapping[int, Mapping[str, Any]], source: str
) -> Numbers:
  return {
    seed: result["sources"][source]["recovery"]
    for seed, result in results.items()
    if source in result["sources"]
  }


def _reliance(
  rows: Sequence[Row], results: Sequence[Mapping[int, Mapping[str, Any]]]
) -> list[dict[str, Any]]:
  lines = []
  for row, own in zip(rows, results, strict=True):
    means = {
      seed: {key: result["reliance"][key]["mean"] for key in MEASURES}
      for seed, result in own.items()
    }
    lines.append(({"row": row.name}, means))
  return _compared(lines, list(MEASURES))


def _compared(
  lines: Sequence[Line], keys: Sequence[str]
) -> list[dict[str, Any]]:
  """Returns lines with a cell a key, compared with the first line."""
  values = [
    {
      key: {s: found[key] for s, found in own.items() if found[key] is not None}
      for key in keys
    }
    for _, own in lines
  ]
  # The first line itself is compared with nothing.
  firsts = [{key: {} for key in keys}, *values[:1] * (len(lines) - 1)]
  return [
    {
      **about,
      "cells": {key: runs_lib.cell(own[key], first[key]) for key in keys},
    }
    for (about, _), own, first in zip(lines, values, firsts, strict=True)
  ]
