"""The runs of a row of a table: their configurations, flags and folders."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import ml_collections
from absl import flags
from ml_collections import config_flags

from causal_mlr_jax import workdir
from causal_mlr_jax.core import errors
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.fingerprint import fingerprint
from causal_mlr_jax.sweep_tables import Row

LEFT_OUT = (*workdir.MAY_DIFFER, "config.seed")


class Source(NamedTuple):
  """Where the configurations of a sweep come from.

  Attributes:
    file: of configs/.
    recipe: what follows the method in its argument, with the comma.
    overrides: '--config.KEY=VALUE', for every run.
  """

  file: str
  recipe: str = ""
  overrides: tuple[str, ...] = ()


class Run(NamedTuple):
  """One training, and what is measured on it.

  Attributes:
    folder: its workdir, named by method, configuration and seed.
    flags: of `causal_mlr_jax.main`, but for the workdir and the mode.
    config: as JSON sees it.
    effects: whether its effects are measured too.
    trained: the run whose training it takes over, None if it has its own.
  """

  folder: pathlib.Path
  flags: tuple[str, ...]
  config: Mapping[str, Any]
  effects: bool = False
  trained: Run | None = None


def resolve(
  source: Source, method: str, overrides: Sequence[str] = ()
) -> tuple[tuple[str, ...], ml_collections.ConfigDict]:
  """Returns flags and the configuration that they make, locked.

  Raises:
    UserError: the configuration has not such a method, key or value.
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
    raise UserError(
      f"The method {method!r} cannot be run with {' '.join(argv)}: "
      f"{' '.join(str(error).split())}. Leave out the override, or give the "
      "rows that take it by --rows."
    ) from error
  return argv, holder.value


def make(
  row: Row,
  source: Source,
  seeds: Sequence[int],
  folder: pathlib.Path,
  effects: bool = False,
) -> dict[int, Run]:
  """Returns the runs of a row by seed.

  Args:
    row: what it sets wins over the overrides of the source.
    source: of the configuration.
    seeds: of training.
    folder: that holds all runs.
    effects: whether effects are measured too.

  Raises:
    UserError: as `resolve`.
  """
  values = _values(row, source)
  if not row.at_test:
    return _make(row.method, values, source, seeds, folder, effects)
  runs = _make(row.method, values, source, seeds, folder)
  values |= row.at_test
  tested = _make(row.method, values, source, seeds, folder, effects)
  return {
    seed: run
    if run.folder == runs[seed].folder  # these are the default's values
    else run._replace(trained=runs[seed])
    for seed, run in tested.items()
  }


def _values(row: Row, source: Source) -> dict[str, Any]:
  """Returns what a row sets for its training, by key."""
  values = dict(row.overrides)
  if row.on_validation:
    _, own = resolve(source, row.method)
    values["data.test_splits"] = (own.data.validation_split,)
  if row.sizes_of:
    _, own = resolve(source, row.method)
    _, other = resolve(source, row.sizes_of)
    values |= {
      f"method.{key}": other.method[key]
      for key in own.method
      if key in other.method and key != "name"
    }
  return values


def _make(
  method: str,
  values: Mapping[str, Any],
  source: Source,
  seeds: Sequence[int],
  folder: pathlib.Path,
  effects: bool = False,
) -> dict[int, Run]:
  """Returns the runs of a method with these values, by seed."""
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
  """Returns a configuration without what makes no other run of it."""
  return {
    key: _identity(value, f"{name}.{key}")
    if isinstance(value, Mapping)
    else value
    for key, value in config.items()
    if f"{name}.{key}" not in LEFT_OUT
  }
