"""What the folder of a run holds for its page."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from causal_mlr_jax.core import atomic_files
from causal_mlr_jax.core.errors import UserError

REPORT, PAGE_DATA, PAGE = "report.json", "page_data.json", "index.html"


class RunFiles(NamedTuple):
  """The files of a run that its page is made from.

  Attributes:
    path: Folder of the run.
    report: report/report.json.
    log: Lines of metrics.jsonl.
    speed: Lines of speed.jsonl.
    decisions: thresholds.json, None where there is none.
    data: report/page_data.json: what only the data could give; empty where an
      earlier version ended the run.
    effects: effects/effects.json, None where effects were not measured.
    matrices: effects/effects.npz: matrices [N, N] by name, and the labels.
  """

  path: pathlib.Path
  report: Mapping[str, Any]
  log: list[dict[str, Any]]
  speed: list[dict[str, Any]]
  decisions: Mapping[str, Any] | None
  data: Mapping[str, Any]
  effects: Mapping[str, Any] | None
  matrices: Mapping[str, np.ndarray]


def read(path: pathlib.Path) -> RunFiles:
  """Reads the files of a run.

  Args:
    path: Folder of the run.

  Raises:
    UserError: There is no report, or a file is damaged.
  """
  report = path / "report" / REPORT
  if not report.exists():
    raise UserError(
      f"{path} holds no report/{REPORT}, so there is nothing to show: expected "
      "the --workdir of a run that was trained to its end. Run --mode=train, "
      "or --mode=evaluate to score the checkpoint that is there."
    )
  effects = _json(path / "effects" / "effects.json")
  matrices = path / "effects" / "effects.npz"
  with_effects = effects is not None and matrices.exists()
  return RunFiles(
    path,
    _json(report),
    _lines(path / "metrics.jsonl"),
    _lines(path / "speed.jsonl"),
    _json(path / "thresholds.json"),
    _json(path / "report" / PAGE_DATA) or {},
    effects if with_effects else None,
    atomic_files.read_arrays(matrices) if with_effects else {},
  )


def _json(path: pathlib.Path) -> Any:
  if not path.exists():
    return None
  try:
    return atomic_files.read_json(path)
  except ValueError as error:
    raise UserError(
      f"{path} is damaged: {error}. Delete it and run --mode=evaluate again."
    ) from error


def _lines(path: pathlib.Path) -> list[dict[str, Any]]:
  """Returns the lines of a log; one that was cut off is left out."""
  found = []
  for line in path.read_text().splitlines() if path.exists() else []:
    try:
      found.append(json.loads(line))
    except json.JSONDecodeError:
      continue
  return found
