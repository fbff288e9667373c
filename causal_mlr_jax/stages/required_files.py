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
    config: see `configs/common.py`.
    trainings: configuration and folder of each that may begin; one that was
      begun needs no weights any more.
    method: whose side inputs may be made, None for none.
    prepared: whether the data must have been prepared already.
    only_warn: whether weights that are missing are told, and no error.

  Raises:
    UserError: names all that is missing, at once.
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
