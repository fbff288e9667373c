"""The data and weights that a run reads, looked for before anything is made."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import ml_collections

from causal_mlr_jax.core import errors, progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import Method
from causal_mlr_jax.data import dataset as dataset_lib
from causal_mlr_jax.stages import side_inputs, transfer
from causal_mlr_jax.weights import init_from, started_from
from causal_mlr_jax.workdir import Workdir


def check(
  config: ml_collections.ConfigDict,
  trainings: Sequence[tuple[ml_collections.ConfigDict, Workdir]] = (),
  method: Method | None = None,
  prepared: bool = False,
  only_warn: bool = False,
) -> None:
  """Checks that data and weights are there, before anything is prepared.

  Args:
    config: The configuration, see `configs/common.py`.
    trainings: Configuration and folder of each training that may begin. One
      that has begun no longer needs its initial weights.
    method: Method whose side inputs may be made, None for none.
    prepared: Whether the data set must be prepared already.
    only_warn: Whether missing weights are a warning instead of an error.

  Raises:
    UserError: Something is missing; the message names all of it.
  """
  find = dataset_lib.find_builder if prepared else dataset_lib.check_files
  data = [lambda: find(config.data)]
  if transfer.is_set(config):
    data.append(lambda: find(config.transfer))
  data.append(lambda: init_from.check(config))
  weights: list[Callable[[], Any]] = [
    functools.partial(started_from.check, started)
    for started, folder in trainings
    if not folder.is_trained()
  ]
  if method is not None:
    weights.append(lambda: side_inputs.check_files(config, method))
  if not only_warn:
    errors.check_all((*data, *weights))
    return
  errors.check_all(data)
  try:
    errors.check_all(weights)
  except UserError as error:
    progress.say(f"for --mode=train, which is to follow: {error}")
