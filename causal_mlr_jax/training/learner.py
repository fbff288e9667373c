"""Builds everything that training needs from a configuration."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import ml_collections
import optax
from jax.sharding import Mesh, NamedSharding

from causal_mlr_jax.core import parallel
from causal_mlr_jax.core.types import Method, Side, Tree
from causal_mlr_jax.data import pipeline
from causal_mlr_jax.data.dataset import Dataset
from causal_mlr_jax.training import loop, optimizer, step
from causal_mlr_jax.training import model as model_lib
from causal_mlr_jax.training.criterion import make_criterion


class Learner(NamedTuple):
  """A model and how it is trained, without any array as large as the model.

  Attributes:
    model: Backbone and head.
    shapes: Shapes of the training state, a `jax.ShapeDtypeStruct` per array.
    optimizer: The optax optimiser.
    plan: Total number of steps, and steps between validations and logs.
    init: Function that returns the model's random initial variables.
    side: The method's side inputs, with per-example ones for a few examples.
    image_shape: Shape [H, W, 3] of an image after preprocessing.
  """

  model: model_lib.Model
  shapes: step.TrainState
  optimizer: optax.GradientTransformation
  plan: loop.Plan
  init: Callable[[], Tree]
  side: Side
  image_shape: tuple[int, ...]


def make_learner(
  config: ml_collections.ConfigDict,
  dataset: Dataset,
  side: Side,
  example_inputs: Mapping[str, pipeline.ExampleInput],
) -> Learner:
  """Builds the model, the shapes of its state, the optimiser and the plan.

  Args:
    config: The configuration, see `configs/common.py`.
    dataset: The prepared data set, which gives the number of labels and the
      image size.
    side: The method's side inputs.
    example_inputs: Per-example side inputs at test time.

  Raises:
    UserError: The configuration is inconsistent.
  """
  model = model_lib.make_model(config, len(dataset.labels))
  few = pipeline.examples(
    dataset,
    config.data.validation_split,
    config.data.preprocess_evaluate,
    model_lib.EXAMPLES,
    example_inputs,
  )
  side = step.side_of(side, few)
  shape = few["image"].shape[1:]
  init = functools.partial(
    model_lib.init_variables, model, side, shape, config.seed
  )
  variables = jax.eval_shape(init)
  plan = loop.make_plan(config, len(dataset.source(config.data.train_split)))
  schedule = optimizer.make_schedule(config.train, plan.total)
  tx = optimizer.make_optimizer(
    config.train, schedule, variables["params"], plan.total
  )
  shapes = jax.eval_shape(lambda v: step.create_state(v, tx), variables)
  return Learner(model, shapes, tx, plan, init, side, shape)


def initial_state(
  learner: Learner, initialise: Callable[[Tree], Tree], mesh: Mesh
) -> step.TrainState:
  """Returns the replicated state before the first step, without spare copies.

  Moments and averages are created directly on the devices, and the variables
  that the state was made from are freed before this returns.

  Args:
    learner: A learner from `make_learner`.
    initialise: Function from random initial variables to the variables that
      training starts from.
    mesh: The device mesh, from `parallel.make_mesh`.
  """
  variables = jax.device_get(initialise(learner.init()))
  variables = parallel.replicate(variables, mesh)
  make = jax.jit(
    lambda variables: step.create_state(variables, learner.optimizer),
    out_shardings=NamedSharding(mesh, parallel.REPLICATED),
    donate_argnums=0,
  )
  return make(variables)


def parallel_step(
  config: ml_collections.ConfigDict,
  learner: Learner,
  method: Method,
  mesh: Mesh,
) -> loop.Step:
  """Returns the training step over all devices; its state argument is donated.

  Args:
    config: The configuration, see `configs/common.py`.
    learner: A learner from `make_learner`.
    method: The method's module.
    mesh: The device mesh, from `parallel.make_mesh`.
  """
  criterion = make_criterion(
    config.loss, config.train.batch_size, learner.model.head.num_labels
  )
  per_device = step.make_train_step(
    learner.model,
    method,
    criterion,
    learner.optimizer,
    config.train.ema_decay,
    config.seed,
  )
  whole, split = parallel.REPLICATED, parallel.SHARDED
  return parallel.pmapped(
    per_device, mesh, (whole, split, whole), (whole, whole), donate_argnums=0
  )
