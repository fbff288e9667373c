"""What a sweep is to make, and how long that takes."""

from __future__ import annotations

import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from causal_mlr_jax import workdir
from causal_mlr_jax.core import atomic_files
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.lookup import unknown_name
from causal_mlr_jax.sweep import run_configs, table_rows
from causal_mlr_jax.sweep import runs as sweep_runs
from causal_mlr_jax.sweep.run_configs import ConfigSource, Run
from causal_mlr_jax.sweep.table_rows import Row, Table
from causal_mlr_jax.weights import weight_sources


class Plan(NamedTuple):
  """What a sweep makes.

  Attributes:
    name: of the table.
    table: its rows and the paper's numbers.
    source: of the configurations.
    config: of the first row, for what all rows share.
    folder: of the whole sweep.
    rows: the rows and their runs by seed; no runs where weights or images are
      missing.
    runs: each run of this shard once, first seed first.
    not_taken: the rows whose methods lack the field of an override, by
      override.
  """

  name: str
  table: Table
  source: ConfigSource
  config: Mapping[str, Any]
  folder: pathlib.Path
  rows: tuple[tuple[Row, Mapping[int, Run]], ...]
  runs: tuple[Run, ...]
  not_taken: Mapping[str, tuple[str, ...]]


def make_plan(
  name: str,
  source: ConfigSource,
  seeds: tuple[int, ...],
  folder: pathlib.Path,
  row_names: Sequence[str] = (),
  shard: tuple[int, int] = (0, 1),
  reference: str = "",
) -> Plan:
  """Returns what is to be made, after a look at every configuration.

  Raises:
    UserError: no such table or row, or a configuration that cannot be.
  """
  table = table_rows.find(name)
  selected = table_rows.select(table, row_names)
  if reference:
    table = _compared_with(table, selected, reference)
  not_taken = run_configs.not_taken(source, selected)
  _, first = run_configs.resolve(
    run_configs.for_method(source, selected[0].method), selected[0].method
  )
  config = workdir.as_json(first)
  every = folder / "runs"
  rows = tuple(
    (row, {})
    if lacks(row, config)
    else (row, run_configs.make(row, source, seeds, every, table.effects))
    for row in selected
  )
  runs: dict[pathlib.Path, Run] = {}
  for seed in seeds:  # every row has one seed before any row has the next one
    for _, own in rows:
      if own:
        runs.setdefault(own[seed].folder, own[seed])
  mine = tuple(runs.values())[shard[0] :: shard[1]]
  return Plan(name, table, source, config, folder, rows, mine, not_taken)


def _compared_with(table: Table, rows: Sequence[Row], reference: str) -> Table:
  """Returns the table with another reference, the name of one of the rows.

  Raises:
    UserError: it is none of them, or the table is one of effects.
  """
  if table.effects:
    raise UserError(
      f"--reference={reference}: the lines of this table are always compared "
      "with its first one. Leave the flag out."
    )
  names = [row.name for row in rows]
  if reference not in names:
    raise unknown_name("row to compare with", reference, names)
  return table._replace(reference=reference)


def lacks(row: Row, config: Mapping[str, Any]) -> str:
  """Returns which weights or images a row lacks, '' if none.

  Args:
    row: of a table.
    config: of the sweep, as JSON sees it.
  """
  if row.weights:
    try:
      weight_sources.source(row.weights)
    except UserError:
      return f"no weights: {row.weights}"
    return ""
  own = row.overrides.get("confounders.data", "source") == "source"
  if (
    own or config["transfer"]["name"] or config["confounders"]["target_splits"]
  ):
    return ""
  return "no images tested on: neither transfer.name nor target_splits is set"


def data_name(config: Mapping[str, Any]) -> str:
  """Returns what a configuration is tested on: 'NAME', or 'NAME to NAME'."""
  source, target = config["data"]["name"], config["transfer"]["name"]
  return f"{source} to {target}" if target else source


def split_of(table: Table, config: Mapping[str, Any]) -> str:
  """Returns the split, as a report names it, that a table's numbers are of.

  Args:
    table: see `Table.split`.
    config: as JSON sees it; with another data set to test on, the split is one
      of that data set.
  """
  place = -1 if table.split == "last" else 0
  target = config["transfer"]
  if target["name"]:
    return f"{target['name']}:{target['test_splits'][place]}"
  return config["data"]["test_splits"][place]


def work_left(runs: Sequence[Run], folder: pathlib.Path) -> str:
  """Returns how long it takes to make runs, in words.

  No file says how long effects take to be measured, so these are counted.

  Args:
    runs: that are not done.
    folder: of the whole sweep.
  """
  trainings = {(run.trained or run).folder: run.trained or run for run in runs}
  reports = [sweep_runs.report_of(run) for run in trainings.values()]
  said = time_left(reports.count(None), folder)
  effects = sum(run.effects for run in runs)
  return said + (f" and {effects} measurement(s) of effects" if effects else "")


def time_left(runs: int, folder: pathlib.Path) -> str:
  """Returns how long trainings take, one after another, in words.

  Each takes the median time of those that are done.

  Args:
    runs: how many.
    folder: of the whole sweep.
  """
  reports = folder.glob("runs/*/report/report.json")
  seconds = [atomic_files.read_json(path)["seconds"] for path in reports]
  times = [sum(each.values()) for each in seconds if "training" in each]
  if not times:
    return "unknown" if runs else "0 s"
  left = runs * statistics.median(times)
  for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
    if left >= 2 * size:
      return f"{left / size:.1f} {unit}"
  return f"{left:.0f} s"
