"""The numbers of a table: what its runs have found until now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from causal_mlr_jax.evaluation.metrics import headline
from causal_mlr_jax.reports.summary import COLUMNS as SCORES
from causal_mlr_jax.studies.effects.report import COLUMNS as RECOVERY
from causal_mlr_jax.studies.effects.report import MEASURES, TITLES
from causal_mlr_jax.sweep import aggregate, runs
from causal_mlr_jax.sweep import plan as sweep_plan
from causal_mlr_jax.sweep.aggregate import TRAINING_LABELS, VALUES, Part
from causal_mlr_jax.sweep.plan import Plan
from causal_mlr_jax.sweep.run_configs import Run
from causal_mlr_jax.sweep.table_rows import Row

NO_REPORT: Mapping[str, Any] = {"metrics": {}}


class Results(NamedTuple):
  """All numbers of a table.

  Attributes:
    document: everything, fit for JSON; unknown numbers are None.
    parts: without those that the data set does not allow.
    cells: of all parts, see `aggregate.cells_of`.
    of_effects: whether these are effects, not scores.
  """

  document: Mapping[str, Any]
  parts: list[Part]
  cells: pd.DataFrame
  of_effects: bool


def read(plan: Plan) -> Results:
  """Returns the numbers of all runs of a table that are done."""
  return _effects(plan) if plan.table.effects else _scores(plan)


def _scores(plan: Plan) -> Results:
  """Returns scores in percent, with a part for each split.

  The other rows are compared with the table's reference, or with the first row
  if that is not shown.
  """
  metric = plan.config["evaluate"]["metric"]
  found = [
    (split, row.name, "", key, seed, value)
    for row, own in plan.rows
    for seed, run in own.items()
    for split, metrics in (runs.report_of(run) or NO_REPORT)["metrics"].items()
    for key, value in headline(metrics, metric).items()
  ]
  values = pd.DataFrame(found, columns=VALUES)
  lines = [(row.name, "") for row, _ in plan.rows]
  reference = (plan.table.reference, "")
  reference = reference if reference in lines else lines[0]
  columns = {key: title for title, key in SCORES.items()}
  parts = [
    aggregate.part(split, columns, lines, reference, values)
    for split in values["part"].unique()
  ]
  paper_split = sweep_plan.split_of(plan.table, plan.config)
  paper = _paper(plan)
  document = {
    **_about(plan),
    "source": plan.table.source,
    "x_label": plan.table.x_label,
    "metric": metric,
    "seeds": _seeds(plan),
    "splits": [part.name for part in parts],
    "paper_split": paper_split,
    "reference": reference[0],
    "rows": [
      {
        "name": row.name,
        "x": row.x,
        **_progress(plan, row, own),
        "paper": paper[row.name],
        "splits": {part.name: part.lines[row.name, ""] for part in parts},
      }
      for row, own in plan.rows
    ],
  }
  cells = aggregate.cells_of(parts, {paper_split: paper})
  return Results(document, parts, cells, of_effects=False)


def _paper(plan: Plan) -> dict[str, dict[str, float | None]]:
  """Returns the paper's numbers by row and metric, None where unknown."""
  known = plan.table.paper.get(sweep_plan.data_name(plan.config), {})
  return {
    row.name: dict(
      zip(SCORES.values(), known.get(row.name) or [None] * 3, strict=True)
    )
    for row, _ in plan.rows
  }


def _effects(plan: Plan) -> Results:
  """Returns measured effects, compared with the first line of each part.

  The part `recovery` has a line for each row and source of effects, and one
  for the training labels, which all rows share; `reliance` has a line for each
  row. A row without results has one empty line in both. A part is left out
  where the data set does not allow it: its causal model is not known, or its
  images cannot be drawn anew.
  """
  measured = [
    (row.name, seed, effects)
    for row, own in plan.rows
    for seed, run in own.items()
    if (effects := runs.effects_of(run)) is not None
  ]
  found = [value for args in measured for value in _values(*args)]
  # The effects of the training labels are the same for every row.
  values = pd.DataFrame(found, columns=VALUES).drop_duplicates(VALUES[:-1])
  columns = {key: title for title, key in RECOVERY.items()}
  by_row = [(row.name, "") for row, _ in plan.rows]
  parts = [
    aggregate.part(name, titles, lines, lines[0], values)
    for name, titles, lines in (
      ("recovery", columns, _by_source(plan, values)),
      ("reliance", MEASURES, by_row),
    )
    if not measured or (values["part"] == name).any()
  ]
  for part in parts:
    for cell in part.lines.get(TRAINING_LABELS, {}).values():
      cell["half_width"] = None  # no seed has a say in it
  document = {
    **_about(plan),
    "settings": plan.config["effects"],
    "split": measured[0][-1]["split"] if measured else None,
    "seeds": _seeds(plan),
    "rows": [
      {"name": row.name, **_progress(plan, row, own)} for row, own in plan.rows
    ],
    "recovery": None,
    "reliance": None,
    **{part.name: _lines(part) for part in parts},
  }
  cells = aggregate.cells_of(parts, {})
  return Results(document, parts, cells, of_effects=True)


def _lines(part: Part) -> list[dict[str, Any]]:
  """Returns the lines of a part of effects, fit for JSON."""
  keys = ("row", "source") if part.name == "recovery" else ("row",)
  return [
    dict(zip(keys, line, strict=False)) | {"cells": cells}
    for line, cells in part.lines.items()
  ]


def _values(row: str, seed: int, effects: Mapping[str, Any]) -> list[tuple]:
  """Returns what was measured on one run, with the columns `VALUES`."""
  found = []
  for source, of in effects["sources"].items():
    line = TRAINING_LABELS if source == TRAINING_LABELS[1] else (row, source)
    found += [
      ("recovery", *line, key, seed, of["recovery"][key])
      for key in RECOVERY.values()
      if "recovery" in of
    ]
  if effects["reliance"] is not None:
    found += [
      ("reliance", row, "", key, seed, effects["reliance"][key]["mean"])
      for key in MEASURES
    ]
  return found


def _by_source(plan: Plan, values: pd.DataFrame) -> list[aggregate.Line]:
  """Returns the lines of 'recovery': those of interventions before scores."""
  there = set(zip(values["row"], values["source"], strict=True))
  lines = []
  for row, _ in plan.rows:
    own = [(row.name, source) for source in reversed(TITLES)]
    lines += [line for line in own if line in there] or [(row.name, "")]
  return lines + [TRAINING_LABELS] * (TRAINING_LABELS in there)


def _progress(plan: Plan, row: Row, own: Mapping[int, Run]) -> dict[str, Any]:
  """Returns why a row has no runs, and what is known of those that it has."""
  return {
    "note": sweep_plan.lacks(row, plan.config),
    "runs": {str(seed): runs.summary_of(run) for seed, run in own.items()},
  }


def _seeds(plan: Plan) -> list[int]:
  return sorted({seed for _, own in plan.rows for seed in own})


def _about(plan: Plan) -> dict[str, str]:
  return {
    "table": plan.name,
    "title": plan.table.title,
    "config": " ".join([plan.source.file, *plan.source.overrides]),
    "note": plan.table.note,
  }
