"""What the reports of several runs say together: rows by seeds."""

from __future__ import annotations

import math
import pathlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from causal_mlr_jax.core import atomic_files
from causal_mlr_jax.evaluation.bootstrap import mean_interval
from causal_mlr_jax.evaluation.metrics import headline
from causal_mlr_jax.reports.summary import COLUMNS

# What a training leaves in its folder, one of the two.
REPORT, FAILED = "report/report.json", "failed.json"


class Row(NamedTuple):
  """The runs of one row.

  Attributes:
    name: of the row.
    folders: workdir by seed; empty if it cannot be run.
    note: why it cannot.
    paper: Exclusive, Co-occur and All in percent, None where unknown.
    x: where its points stand on a numeric axis.
  """

  name: str
  folders: Mapping[int, pathlib.Path]
  note: str = ""
  paper: Sequence[float | None] = (None, None, None)
  x: float | None = None


def aggregate(
  rows: Sequence[Row],
  metric: str,
  paper_split: str,
  reference: str = "",
  **about: Any,
) -> dict[str, Any]:
  """Returns all numbers of a table, fit for JSON; unknown ones are None.

  Values are in percent. `half_width` is half of the 95% t-interval over
  seeds; `difference` is to the reference, the mean over the seeds that both
  have, and `p_value` that of a paired two-sided t-test over them.

  Args:
    rows: whose reports are read.
    metric: one of `evaluation.metrics.HEADLINES`.
    paper_split: the split that the paper's numbers are of.
    reference: the row that the others are compared with; the first one if it
      is not among them.
    **about: `table`, `title`, `source`, `config`, `note`, `x_label`: strings
      that are kept.
  """
  runs = [{seed: _run(f) for seed, f in row.folders.items()} for row in rows]
  reports = [
    {seed: run["report"] for seed, run in row.items() if run["report"]}
    for row in runs
  ]
  splits = {s: None for row in reports for r in row.values() for s in r}
  values = [
    {split: _values(row, split, metric) for split in splits} for row in reports
  ]
  names = [row.name for row in rows]
  place = names.index(reference) if reference in names else 0
  others = [values[place]] * len(rows)
  others[place] = _nothing(splits)  # the reference is compared with nothing
  return about | {
    "metric": metric,
    "seeds": sorted({seed for row in rows for seed in row.folders}),
    "splits": list(splits),
    "paper_split": paper_split,
    "reference": names[place],
    "rows": [
      _row(row, own_runs, {s: _cells(own[s], other[s]) for s in splits})
      for row, own_runs, own, other in zip(
        rows, runs, values, others, strict=True
      )
    ],
  }


def _row(
  row: Row,
  runs: Mapping[int, Mapping[str, Any]],
  splits: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
  return {
    "name": row.name,
    "x": row.x,
    "note": row.note,
    "runs": {str(seed): _without_report(run) for seed, run in runs.items()},
    "paper": dict(zip(COLUMNS.values(), row.paper, strict=True)),
    "splits": splits,
  }


def _run(folder: pathlib.Path) -> dict[str, Any]:
  """Returns the state of a run, and its metrics if it is done."""
  path = folder / REPORT
  report = atomic_files.read_json(path)["metrics"] if path.exists() else {}
  found = state(folder, path.exists(), folder / FAILED)
  return found | {"report": report}


def state(
  folder: pathlib.Path, done: bool, failed: pathlib.Path
) -> dict[str, str]:
  """Returns the name of a run's folder, its state, and why it failed.

  Args:
    folder: of the run.
    done: whether it is.
    failed: the file that it left if it failed.
  """
  found = {"folder": folder.name, "state": "missing", "reason": ""}
  if done:
    return found | {"state": "done"}
  if failed.exists():
    failure = atomic_files.read_json(failed)
    reason = f"exit code {failure['exit_code']}: {failure['reason']}"
    return found | {"state": "failed", "reason": reason}
  return found


def _without_report(run: Mapping[str, Any]) -> dict[str, Any]:
  return {key: value for key, value in run.items() if key != "report"}


def _values(
  reports: Mapping[int, Mapping[str, Any]], split: str, metric: str
) -> dict[str, dict[int, float]]:
  """Returns values by column and seed, where there are any."""
  found: dict[str, dict[int, float]] = {key: {} for key in COLUMNS.values()}
  for seed, metrics in reports.items():
    if split in metrics:
      for key, value in headline(metrics[split], metric).items():
        if value is not None:
          found[key][seed] = value
  return found


def _nothing(splits: Iterable[str]) -> dict[str, dict[str, dict]]:
  return {split: {key: {} for key in COLUMNS.values()} for split in splits}


def _cells(
  own: Mapping[str, Mapping[int, float]],
  other: Mapping[str, Mapping[int, float]],
) -> dict[str, dict[str, Any]]:
  return {key: cell(own[key], other[key]) for key in COLUMNS.values()}


def cell(
  values: Mapping[int, float], others: Mapping[int, float]
) -> dict[str, Any]:
  """Returns a cell of a table, fit for JSON; unknown numbers are None.

  Args:
    values: by seed.
    others: those that they are compared with, by seed; none for no comparison.
  """
  mean = half = None
  if values:
    interval = mean_interval(list(values.values()))
    mean, half = interval.mean, interval.half_width
  difference, p_value = paired(values, others)
  return {
    "values": {str(seed): value for seed, value in values.items()},
    "mean": mean,
    "half_width": _known(half),
    "difference": _known(difference),
    "p_value": _known(p_value),
  }


def _known(value: float | None) -> float | None:
  return None if value is None or math.isnan(value) else value


def paired(
  values: Mapping[int, float], others: Mapping[int, float]
) -> tuple[float, float]:
  """Returns the mean difference over the seeds of both, and its p-value.

  The p-value is that of a paired two-sided t-test: NaN for less than two
  seeds, and where all differences are equal.

  Args:
    values: by seed.
    others: by seed, taken from them.
  """
  seeds = sorted(values.keys() & others.keys())
  a = np.asarray([values[seed] for seed in seeds])
  b = np.asarray([others[seed] for seed in seeds])
  if not seeds:
    return math.nan, math.nan
  mean = float(np.mean(a - b))
  if len(seeds) < 2 or np.ptp(a - b) == 0:
    return mean, math.nan
  with warnings.catch_warnings():
    # It warns where differences are equal but for rounding.
    warnings.simplefilter("ignore", RuntimeWarning)
    return mean, float(stats.ttest_rel(a, b).pvalue)
