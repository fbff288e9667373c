"""The runs of a row of a table: their configurations, flags and folders."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import ml_collections
from absl import flags
from ml_collections import config_flags

from causal_mlr_jax import workdir
from causal_mlr_jax.core import errors
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.fingerprint import fingerprint
from causal_mlr_jax.sweep.table_rows import Row

LEFT_OUT = (*workdir.MAY_DIFFER, "config.seed")
_OF_METHOD = re.compile(r"--?(?:no)?config\.method\.([^=.]+)")


class ConfigSource(NamedTuple):
  """Where the configurations of a sweep come from.

  Attributes:
    file: of configs/.
    recipe: ',NAME' where the file is given as FILE:METHOD,NAME; else ''.
    overrides: '--config.KEY=VALUE', for every run; '--config.method.KEY=VALUE',
      for the runs of every method that has KEY.
  """

  file: str
  recipe: str = ""
  overrides: tuple[str, ...] = ()


class Run(NamedTuple):
  """One training, and what is measured on it.

  Attributes:
    folder: its workdir, named by method, configuration and seed.
    flags: of `causal_mlr_jax.main`, without --workdir and --mode.
    config: as JSON sees it.
    effects: whether its effects are measured too.
    trained: the run whose training is tested here; None if this run trains.
  """

  folder: pathlib.Path
  flags: tuple[str, ...]
  config: Mapping[str, Any]
  effects: bool = False
  trained: Run | None = None


def resolve(
  source: ConfigSource, method: str, overrides: Sequence[str] = ()
) -> tuple[tuple[str, ...], ml_collections.ConfigDict]:
  """Returns flags and the configuration that they make, locked.

  Raises:
    UserError: the configuration has no such method, key or value.
  """
  argument = f"--config={source.file}:{method}{source.recipe}"
  argv = (argument, *source.overrides, *overrides)
  values = flags.FlagValues()
  holder = config_flags.DEFINE_config_file(
    "config", flag_values=values, sys_argv=["", *argv]
  )
  try:
    values(["", *argv])
    holder.value.keys()  # a file that is missing fails here, not at once
  except errors.FLAG_ERRORS as error:
    reason = (
      errors.unknown_key(error)
      if isinstance(error, (AttributeError, KeyError))
      else " ".join(str(error).split())
    )
    raise UserError(
      f"The method {method!r} cannot be run with {' '.join(argv)}: {reason}. "
      "Leave out the override, or give the rows that take it by --rows."
    ) from error
  return argv, holder.value


def for_method(source: ConfigSource, method: str) -> ConfigSource:
  """Returns the source without overrides of fields the method does not have."""
  fields = [_OF_METHOD.match(override) for override in source.overrides]
  if not any(fields):
    return source
  _, config = resolve(source._replace(overrides=()), method)
  kept = tuple(
    override
    for override, field in zip(source.overrides, fields, strict=True)
    if field is None or field[1] in config.method
  )
  return source._replace(overrides=kept)


def not_taken(
  source: ConfigSource, rows: Sequence[Row]
) -> dict[str, tuple[str, ...]]:
  """Returns by override the rows whose methods do not have its field.

  Raises:
    UserError: none of the rows has a method with the field.
  """
  found = {}
  taken = {row.name: for_method(source, row.method).overrides for row in rows}
  for override in source.overrides:
    names = tuple(name for name in taken if override not in taken[name])
    if len(names) == len(rows):
      resolve(source, rows[0].method)  # this raises, and says what was meant
    if names:
      found[override] = names
  return found


def make(
  row: Row,
  source: ConfigSource,
  seeds: Sequence[int],
  folder: pathlib.Path,
  effects: bool = False,
) -> dict[int, Run]:
  """Returns the runs of a row by seed.

  Args:
    row: its values win over the overrides of the source.
    source: of the configuration.
    seeds: of training.
    folder: that holds all runs.
    effects: whether effects are measured too.

  Raises:
    UserError: as `resolve`.
  """
  values = _values(row, source)
  own = for_method(source, row.method)
  runs = _make(row.method, values, own, seeds, folder, effects)
  if not row.at_test:
    return runs
  values |= row.at_test
  tested = _make(row.method, values, own, seeds, folder, effects)
  return {
    seed: run
    if run.folder == runs[seed].folder  # training has the same values
    else run._replace(trained=runs[seed]._replace(effects=False))
    for seed, run in tested.items()
  }


def _values(row: Row, source: ConfigSource) -> dict[str, Any]:
  """Returns what a row sets for its training, by key."""
  values = dict(row.overrides)
  if not row.on_validation and not row.sizes_of:
    return values
  own = resolve(for_method(source, row.method), row.method)[1]
  if row.on_validation:
    values["data.test_splits"] = (own.data.validation_split,)
  if row.sizes_of:
    other = resolve(for_method(source, row.sizes_of), row.sizes_of)[1]
    values |= {
      f"method.{key}": other.method[key]
      for key in own.method
      if key in other.method and key != "name"
    }
  return values


def _make(
  method: str,
  values: Mapping[str, Any],
  source: ConfigSource,
  seeds: Sequence[int],
  folder: pathlib.Path,
  effects: bool,
) -> dict[int, Run]:
  """Returns the runs of a method by seed, with values by key."""
  settings = [f"--config.{key}={value}" for key, value in values.items()]
  argv, config = resolve(source, method, settings)
  found = workdir.as_json(config)
  name = f"{method}-{fingerprint(config=_identity(found))}"
  return {
    seed: Run(
      folder / f"{name}-{seed}",
      (*argv, f"--config.seed={seed}"),
      found | {"seed": seed},
      effects,
    )
    for seed in seeds
  }


def _identity(config: Mapping[str, Any], name: str = "config") -> dict:
  """Returns the part of a configuration that a folder is named by."""
  return {
    key: _identity(value, f"{name}.{key}")
    if isinstance(value, Mapping)
    else value
    for key, value in config.items()
    if f"{name}.{key}" not in LEFT_OUT
  }
