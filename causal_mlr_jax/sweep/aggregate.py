"""One aggregation over seeds for all tables: means, intervals, differences."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
from scipy import stats

from causal_mlr_jax.evaluation.bootstrap import mean_interval
from causal_mlr_jax.studies.effects.report import TITLES

Line = tuple[str, str]  # the name of a row, and what its effects are from or ''
TRAINING_LABELS: Line = (TITLES["training_labels"], "training_labels")
# The columns of values: one number of one run.
VALUES = ["part", "row", "source", "metric", "seed", "value"]
STATISTICS = ["mean", "half_width", "difference", "p_value"]
# The columns of cells: `line` is the shown name, `seeds` the number of runs.
CELLS = ["part", "row", "source", "line", "metric", "seeds", *STATISTICS]


class Part(NamedTuple):
  """A part of a table that has columns of its own.

  Attributes:
    name: a split, or 'recovery' or 'reliance'.
    columns: titles by metric.
    lines: the cells of each line by metric; see `cell`.
    reference: the line that the others are compared with.
  """

  name: str
  columns: Mapping[str, str]
  lines: Mapping[Line, Mapping[str, dict[str, Any]]]
  reference: Line


def part(
  name: str,
  columns: Mapping[str, str],
  lines: Sequence[Line],
  reference: Line,
  values: pd.DataFrame,
) -> Part:
  """Returns a part of a table, aggregated over seeds.

  Args:
    name: of the part.
    columns: titles by metric.
    lines: in the order in which they are shown.
    reference: one of them.
    values: with the columns `VALUES`, of this part and perhaps others.
  """
  own = values[values["part"] == name].dropna()
  by_seed = {
    key: found.set_index("seed")["value"]
    for key, found in own.groupby(["row", "source", "metric"])
  }
  none = pd.Series(dtype=float)
  cells = {line: {} for line in lines}
  for line in lines:
    for metric in columns:
      others = by_seed.get((*reference, metric), none)
      cells[line][metric] = cell(
        by_seed.get((*line, metric), none),
        none if line == reference else others,
      )
  return Part(name, columns, cells, reference)


def cell(values: pd.Series, others: pd.Series) -> dict[str, Any]:
  """Returns a cell of a table, fit for JSON; unknown numbers are None.

  `half_width` is half of the 95% t-interval over seeds. `difference` is the
  mean over the seeds that both have, and `p_value` that of a paired two-sided
  t-test over them: None for one seed, and where all differences are equal.

  Args:
    values: by seed.
    others: those that they are compared with, by seed; none for no comparison.
  """
  mean = half_width = p_value = math.nan
  if len(values):
    mean, half_width, *_ = mean_interval(values.to_list())
  differences = (values - others).dropna().sort_index()
  if differences.max() > differences.min():
    with warnings.catch_warnings():
      # It warns where differences are equal but for rounding.
      warnings.simplefilter("ignore", RuntimeWarning)
      _, p_value = stats.ttest_1samp(differences, 0)
  numbers = [mean, half_width, differences.mean(), p_value]
  known = [None if math.isnan(number) else float(number) for number in numbers]
  by_seed = {str(seed): value for seed, value in values.items()}
  return {"values": by_seed, **dict(zip(STATISTICS, known, strict=True))}


def name_of(line: Line) -> str:
  """Returns the name that a line is shown with."""
  row, source = line
  plain = not source or line == TRAINING_LABELS
  return row if plain else f"{row}: {TITLES[source]}"


def cells_of(
  parts: Sequence[Part], paper: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> pd.DataFrame:
  """Returns the cells of all parts, with the columns `CELLS` and `paper`.

  Args:
    parts: of one table.
    paper: the paper's numbers by part, row and metric.
  """
  records = [
    [part.name, *line, name_of(line), metric, len(found["values"])]
    + [found[key] for key in STATISTICS]
    + [paper.get(part.name, {}).get(line[0], {}).get(metric)]
    for part in parts
    for line, cells in part.lines.items()
    for metric, found in cells.items()
  ]
  frame = pd.DataFrame(records, columns=[*CELLS, "paper"])
  kinds = dict.fromkeys([*STATISTICS, "paper"], float)
  return frame.astype({**kinds, "seeds": int})
