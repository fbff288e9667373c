"""What a sweep is to make, the table of what is made, and the time left."""

from __future__ import annotations

import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from causal_mlr_jax import workdir
from causal_mlr_jax.core import atomic_files, locks
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.lookup import unknown_name
from causal_mlr_jax.sweep import (
  aggregate,
  aggregate_effects,
  plots,
  plots_effects,
  run_configs,
  table_files,
  table_files_effects,
)
from causal_mlr_jax.sweep import (
  runs as sweep_runs,
)
from causal_mlr_jax.sweep import (
  tables as sweep_tables,
)
from causal_mlr_jax.sweep.run_configs import Run, Source
from causal_mlr_jax.sweep.tables import Row, Table
from causal_mlr_jax.weights import weight_sources

NO_NUMBERS = (None, None, None)


class Plan(NamedTuple):
  """What a sweep makes.

  Attributes:
    name: of the table.
    table: its rows and the paper's numbers.
    source: of the configurations.
    config: of the first row, for what all rows share.
    folder: of the whole.
    rows: the rows and their runs by seed, none where weights or images are
      missing.
    runs: each run once, those of this shard, first seed first.
    not_taken: rows by override of a field that their methods lack.
  """

  name: str
  table: Table
  source: Source
  config: Mapping[str, Any]
  folder: pathlib.Path
  rows: tuple[tuple[Row, Mapping[int, Run]], ...]
  runs: tuple[Run, ...]
  not_taken: Mapping[str, tuple[str, ...]]


def make_plan(
  name: str,
  source: Source,
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
  table = sweep_tables.find(name)
  selected = sweep_tables.select(table, row_names)
  table = compared_with(table, selected, reference)
  not_taken = run_configs.not_taken(source, selected)
  _, config = run_configs.resolve_taken(source, selected[0].method)
  found = workdir.as_json(config)
  rows = tuple(
    (
      row,
      {}
      if lacks(row, found)
      else run_configs.make(row, source, seeds, folder / "runs", table.effects),
    )
    for row in selected
  )
  runs: dict[pathlib.Path, Run] = {}
  for seed in seeds:  # every row is there before any has all of its seeds
    for _, own in rows:
      if own:
        runs.setdefault(own[seed].folder, own[seed])
  mine = tuple(runs.values())[shard[0] :: shard[1]]
  return Plan(name, table, source, found, folder, rows, mine, not_taken)


def compared_with(table: Table, rows: Sequence[Row], reference: str) -> Table:
  """Returns the table with another reference; itself for none.

  Args:
    table: of which rows are shown.
    rows: that are.
    reference: the name of one of them, or ''.

  Raises:
    UserError: it is none of them, or the table has lines of many kinds.
  """
  if not reference:
    return table
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
  if not row.weights:
    return lacks_target(row, config)
  try:
    weight_sources.source(row.weights)
  except UserError:
    return f"no weights: {row.weights}"
  return ""


def data_name(config: Mapping[str, Any]) -> str:
  """Returns what a configuration is tested on: 'NAME', or 'NAME to NAME'."""
  source, target = config["data"]["name"], config["transfer"]["name"]
  return f"{source} to {target}" if target else source


def split_of(table: Table, config: Mapping[str, Any]) -> str:
  """Returns the name in a report of the split that a table's numbers are of.

  With another data set to test on it is that one's.

  Args:
    table: see `Table.split`.
    config: as JSON sees it.
  """
  return _tested_splits(config)[-1 if table.split == "last" else 0]


def _tested_splits(config: Mapping[str, Any]) -> list[str]:
  target = config["transfer"]
  if target["name"]:
    return [f"{target['name']}:{split}" for split in target["test_splits"]]
  return list(config["data"]["test_splits"])


def lacks_target(row: Row, config: Mapping[str, Any]) -> str:
  """Returns why a configuration has no images for a row to look at, else ''.

  Args:
    row: perhaps with confounders of the images tested on.
    config: of the sweep, as JSON sees it.
  """
  if row.overrides.get("confounders.data", "source") == "source":
    return ""
  if config["transfer"]["name"] or config["confounders"]["target_splits"]:
    return ""
  return "no images tested on: neither transfer.name nor target_splits is set"


def write_table(plan: Plan) -> None:
  """Writes the table of what is there now, in all its forms.

  One process at a time: the last one to write has seen all runs.
  """
  stem = plan.folder / f"table_{plan.name}"
  with locks.held(stem.with_suffix(".lock"), f"writes {stem.name}"):
    if plan.table.effects:
      _write_effects(plan, stem)
      return
    found = aggregate.aggregate(
      _rows(plan),
      plan.config["evaluate"]["metric"],
      split_of(plan.table, plan.config),
      plan.table.reference,
      **_about(plan),
      source=plan.table.source,
      x_label=plan.table.x_label,
    )
    table_files.write(found, stem)
    plots.write(found, stem.with_suffix(".png"))


def _write_effects(plan: Plan, stem: pathlib.Path) -> None:
  found = aggregate_effects.aggregate(
    _rows(plan), plan.config["effects"], **_about(plan)
  )
  table_files_effects.write(found, stem)
  plots_effects.write(found, stem.with_suffix(".png"))


def _rows(plan: Plan) -> list[aggregate.Row]:
  paper = plan.table.paper.get(data_name(plan.config), {})
  return [
    aggregate.Row(
      row.name,
      {seed: run.folder for seed, run in runs.items()},
      lacks(row, plan.config),
      paper.get(row.name, NO_NUMBERS),
      row.x,
    )
    for row, runs in plan.rows
  ]


def _about(plan: Plan) -> dict[str, str]:
  return {
    "table": plan.name,
    "title": plan.table.title,
    "config": " ".join([plan.source.file, *plan.source.overrides]),
    "note": plan.table.note,
  }


def work_left(runs: Sequence[Run], folder: pathlib.Path) -> str:
  """Returns how long it takes to make runs, in words.

  How long effects take to be measured is written nowhere, so these are counted.

  Args:
    runs: that are not done.
    folder: of the whole.
  """
  trainings = {(run.trained or run).folder: run.trained or run for run in runs}
  reports = [sweep_runs.report_of(run) for run in trainings.values()]
  said = time_left(reports.count(None), folder)
  effects = sum(run.effects for run in runs)
  return said + (f" and {effects} measurement(s) of effects" if effects else "")


def median_seconds(folder: pathlib.Path) -> float | None:
  """Returns the median time of the trained runs below, None without any."""
  reports = folder.glob("runs/*/report/report.json")
  seconds = [atomic_files.read_json(path)["seconds"] for path in reports]
  times = [sum(s.values()) for s in seconds if "training" in s]
  return statistics.median(times) if times else None


def time_left(runs: int, folder: pathlib.Path) -> str:
  """Returns how long so many runs take, one after another, in words."""
  each = median_seconds(folder)
  if each is None:
    return "unknown" if runs else "0 s"
  seconds = runs * each
  for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
    if seconds >= 2 * size:
      return f"{seconds / size:.1f} {unit}"
  return f"{seconds:.0f} s"
