"""What a mode reads: data and weights, looked for before anything is made."""

from __future__ import annotations

import functools
from types import ModuleType

import ml_collections

from causal_mlr_jax import audit, first_stage, side_inputs, transfer
from causal_mlr_jax.core import errors, progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data import dataset as dataset_lib
from causal_mlr_jax.modes import ON_A_RUN
from causal_mlr_jax.weights import init_from, started_from
from causal_mlr_jax.workdir import Workdir


def check(
  config: ml_collections.ConfigDict,
  method: ModuleType,
  folder: Workdir,
  mode: str,
) -> None:
  """Checks that data and weights are there, before anything is prepared.

  Args:
    config: see `configs/common.py`.
    method: its module.
    folder: of the run; a training that was begun needs no weights any more.
    mode: of the program.

  Raises:
    UserError: names all that is missing, at once.
  """
  find = (
    dataset_lib.find_builder if mode in ON_A_RUN else dataset_lib.check_files
  )
  checks = [lambda: find(config.data)]
  if transfer.is_set(config):
    checks.append(lambda: find(config.transfer))
  checks.append(lambda: init_from.check(config))
  weights = [
    functools.partial(started_from.check, started)
    for started, of in _starts(config, method, folder, mode)
    if not of.is_trained()
  ]
  begins = mode in ("train", "import", "prepare") and not folder.is_trained()
  if begins or mode == "confounders":
    weights.append(lambda: side_inputs.check_files(config, method))
  if mode != "prepare":
    errors.check_all((*checks, *weights))
    return
  errors.check_all(checks)
  try:
    errors.check_all(weights)
  except UserError as error:
    progress.say(f"for --mode=train, which is to follow: {error}")


def _starts(
  config: ml_collections.ConfigDict,
  method: ModuleType,
  folder: Workdir,
  mode: str,
) -> list[tuple[ml_collections.ConfigDict, Workdir]]:
  """Returns configuration and folder of each training that a mode may begin."""
  if mode == "audit":
    return [(audit.config_of(config), folder.part(audit.FOLDER))]
  if mode not in ("train", "import", "prepare"):
    return []
  starts = [(config, folder)]
  if hasattr(method, "first_stage"):
    first = first_stage.config_of(config)
    starts.append((first, folder.part(first_stage.FOLDER)))
  return starts
