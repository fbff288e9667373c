"""One optimisation step, written for one device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import flax.core
import flax.struct
import jax
import jax.numpy as jnp
import optax
from clu import metrics

from causal_mlr_jax.core import parallel
from causal_mlr_jax.core.types import (
  AnyArray,
  Array,
  Batch,
  Criterion,
  Method,
  Side,
  Tree,
)
from causal_mlr_jax.training import model as model_lib
from causal_mlr_jax.training.model import Model

# Keys that every batch has; other keys are per-example side inputs.
BATCH_KEYS = ("image", "labels", "mask", "index")


@flax.struct.dataclass
class TrainState:
  """Everything that training carries from step to step.

  Attributes:
    step: Number of steps done, int32.
    params: Trained parameters.
    model_state: Other variable collections: batch statistics and the method's
      own.
    opt_state: State of the optimiser.
    ema_params: Moving average of `params`.
    ema_model_state: Moving average of `model_state`.
  """

  step: Array
  params: Tree
  model_state: Tree
  opt_state: Tree
  ema_params: Tree
  ema_model_state: Tree


def create_state(
  variables: Tree, optimizer: optax.GradientTransformation
) -> TrainState:
  """Returns the state before the first step."""
  model_state, params = flax.core.pop(variables, "params")

  def copy(tree: Tree) -> Tree:
    # The state is donated, so no two leaves may share memory.
    return jax.tree.map(jnp.copy, tree)

  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    model_state=model_state,
    opt_state=optimizer.init(params),
    ema_params=copy(params),
    ema_model_state=copy(model_state),
  )


def side_of(side: Side, batch: Mapping[str, AnyArray]) -> dict[str, Any]:
  """Returns the side inputs of the data set and of the batch in one dict."""
  extra = {k: v for k, v in batch.items() if k not in BATCH_KEYS}
  return dict(side) | extra


def make_train_step(
  model: Model,
  method: Method,
  criterion: Criterion,
  optimizer: optax.GradientTransformation,
  ema_decay: float,
  seed: int,
) -> Callable[[TrainState, Batch, Side], tuple[TrainState, dict]]:
  """Returns the per-device step, with collectives over `parallel.AXIS`.

  Args:
    model: A model from `make_model`.
    method: The method's module, which has `loss`.
    criterion: Loss of each example and label, from logits and labels [B, N].
    optimizer: An optimiser from `make_optimizer`.
    ema_decay: Decay of the averaged parameters, see `apply_gradients`.
    seed: Seed of the dropout.

  Returns:
    A function (state, batch, side) -> (state, metrics). If the loss or the
    gradient is not finite, only `step` changes and the metric `finite` is 0.
  """

  def train_step(
    state: TrainState, batch: Batch, side: Side
  ) -> tuple[TrainState, dict]:
    inputs = _training_inputs(model, method, batch, side)

    def loss_fn(params: Tree) -> tuple[Array, tuple]:
      output, new_state = model.apply(
        {"params": params, **state.model_state},
        batch["image"],
        inputs,
        train=True,
        mutable=list(state.model_state),
        rngs={"dropout": _dropout_key(seed, state.step)},
      )
      loss, parts = method.loss(output, batch, inputs, criterion)
      return loss, (parts, new_state)

    (loss, (parts, model_state)), grads = jax.value_and_grad(
      loss_fn, has_aux=True
    )(state.params)
    loss, parts, grads = jax.lax.pmean((loss, parts, grads), parallel.AXIS)
    grad_norm = optax.tree.norm(grads)
    finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
    new = apply_gradients(state, grads, model_state, optimizer, ema_decay)
    new = jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, state)
    values = {"loss": loss, "grad_norm": grad_norm, "finite": finite}
    return new.replace(step=state.step + 1), _averages(values, parts)

  return train_step


def _training_inputs(
  model: Model, method: Method, batch: Batch, side: Side
) -> dict[str, Any]:
  """Returns the side inputs, including those that only training has."""
  needs = model_lib.training_needs(method)
  inputs = side_of(side, batch)
  if "labels" in needs:
    inputs["labels"] = batch["labels"]
  if "reference" in needs:
    # The output of the frozen first-stage network on these images.
    variables = inputs.pop("reference")
    inputs["reference"] = model.apply(
      variables, batch["image"], inputs, train=False
    )
  return inputs


def _dropout_key(seed: int, step: Array) -> Array:
  """Returns the random key of this step and this device."""
  key = jax.random.fold_in(jax.random.key(seed), step)
  return jax.random.fold_in(key, jax.lax.axis_index(parallel.AXIS))


def _averages(
  values: dict[str, Array], parts: dict[str, Array]
) -> dict[str, metrics.Average]:
  values = values | {f"loss_{name}": part for name, part in parts.items()}
  return {
    name: metrics.Average.from_model_output(jnp.float32(value)[None])
    for name, value in values.items()
  }


def apply_gradients(
  state: TrainState,
  grads: Tree,
  model_state: Tree,
  optimizer: optax.GradientTransformation,
  ema_decay: float,
) -> TrainState:
  """Returns the updated state; its step count is unchanged.

  Args:
    state: State before the update.
    grads: Gradients of the loss, averaged over devices.
    model_state: Other collections after the forward pass.
    optimizer: An optimiser from `make_optimizer`.
    ema_decay: Final decay of the averages; it rises to this value over the
      first steps, so that the random initial values do not persist.
  """
  updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
  params = optax.apply_updates(state.params, updates)
  decay = jnp.minimum(ema_decay, (1 + state.step) / (10 + state.step))
  averaged: Tree = optax.incremental_update(
    (params, model_state),
    (state.ema_params, state.ema_model_state),
    1 - decay,
  )
  ema_params, ema_model_state = averaged
  return TrainState(
    state.step, params, model_state, opt_state, ema_params, ema_model_state
  )


@jax.jit
def merge_metrics(
  a: dict[str, metrics.Average], b: dict[str, metrics.Average]
) -> dict[str, metrics.Average]:
  """Returns the averages over the steps of both arguments."""
  return {name: a[name].merge(b[name]) for name in a}
