"""Puts together what training needs from a configuration."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

import ml_collections
import optax
from jax.sharding import Mesh

from causal_mlr_jax.core import lookup, parallel
from causal_mlr_jax.core.types import Side, Tree
from causal_mlr_jax.data import pipeline
from causal_mlr_jax.data.dataset import Dataset
from causal_mlr_jax.training import loop, optimizer, step
from causal_mlr_jax.training import model as model_lib


class Parts(NamedTuple):
  """A model and how it is trained.

  Attributes:
    model: backbone and head.
    state: before the first step, on the host's default device.
    optimizer: optax's.
    plan: steps in all, and between validations and logs.
  """

  model: model_lib.Model
  state: step.TrainState
  optimizer: optax.GradientTransformation
  plan: loop.Plan


def make_parts(
  config: ml_collections.ConfigDict,
  dataset: Dataset,
  side: Side,
  initialise_backbone: Callable[[Tree], Tree],
) -> Parts:
  """Builds the model, its initial state, the optimiser and the plan.

  Args:
    config: see `configs/common.py`.
    dataset: prepared, for the number of labels and the size of images.
    side: the method's side inputs.
    initialise_backbone: from the backbone's random initial variables to
      those it starts from.

  Raises:
    UserError: the configuration does not fit together.
  """
  model = model_lib.make_model(config, len(dataset.labels))
  example = next(
    pipeline.evaluation_batches(
      dataset,
      config.data.validation_split,
      config.data.preprocess_evaluate,
      config.evaluate.batch_size,
    )
  )
  variables = model_lib.init_variables(
    model, side, example["image"].shape[1:], config.seed
  )
  own = {k: v["backbone"] for k, v in variables.items() if "backbone" in v}
  for collection, values in initialise_backbone(own).items():
    variables[collection]["backbone"] = values
  plan = loop.make_plan(config, len(dataset.source(config.data.train_split)))
  schedule = optimizer.make_schedule(config.train, plan.total)
  tx = optimizer.make_optimizer(config.train, schedule, variables["params"])
  return Parts(model, step.create_state(variables, tx), tx, plan)


def mapped_step(
  config: ml_collections.ConfigDict,
  parts: Parts,
  method: ModuleType,
  mesh: Mesh,
) -> loop.Step:
  """Returns the training step over all devices; it takes the state's memory.

  Args:
    config: see `configs/common.py`.
    parts: from `make_parts`.
    method: the method's module.
    mesh: from `parallel.make_mesh`.
  """
  criterion = lookup.module(model_lib.LOSSES, config.loss).loss
  per_device = step.make_train_step(
    parts.model,
    method,
    criterion,
    parts.optimizer,
    config.train.ema_decay,
    config.seed,
  )
  whole, split = parallel.REPLICATED, parallel.SHARDED
  return parallel.pmapped(
    per_device, mesh, (whole, split, whole), (whole, whole), donate_argnums=0
  )
