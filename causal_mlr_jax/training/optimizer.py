"""AdamW with a schedule, path rules and clipping, all of it optax."""

from __future__ import annotations

import jax
import ml_collections
import optax

from causal_mlr_jax.core import paths
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.lookup import unknown_name
from causal_mlr_jax.core.types import Tree


def make_schedule(
  config: ml_collections.ConfigDict, steps: int
) -> optax.Schedule:
  """Returns the learning rate as a function of the step.

  Args:
    config: the section `train`.
    steps: of the whole training.

  Raises:
    UserError: an unknown schedule or a warm-up outside [0, 1].
  """
  if not 0 <= config.warmup < 1:
    raise UserError(
      f"train.warmup = {config.warmup}: expected the part of the steps in "
      "which the learning rate rises, at least 0 and below 1."
    )
  if config.schedule == "one_cycle":
    return optax.cosine_onecycle_schedule(
      max(steps, 2), config.learning_rate, pct_start=config.warmup
    )
  if config.schedule == "cosine":
    return optax.warmup_cosine_decay_schedule(
      0.0, config.learning_rate, int(config.warmup * steps), max(steps, 2)
    )
  raise unknown_name("train.schedule", config.schedule, ("one_cycle", "cosine"))


def make_optimizer(
  config: ml_collections.ConfigDict, schedule: optax.Schedule, params: Tree
) -> optax.GradientTransformation:
  """Returns the optimiser: clip, Adam, decoupled decay, learning rate.

  Args:
    config: the section `train`.
    schedule: from `make_schedule`.
    params: the parameters, for the path rules.

  Raises:
    UserError: rules that do not fit the parameters.
  """
  rate = paths.match(
    "train.learning_rate_rules", config.learning_rate_rules, params
  )
  decay = paths.match(
    "train.weight_decay_rules", config.weight_decay_rules, params
  )

  def add_decay(updates: Tree, params: Tree) -> Tree:
    return jax.tree.map(
      lambda u, p, d: u + config.weight_decay * d * p, updates, params, decay
    )

  clip = (
    optax.clip_by_global_norm(config.clip_norm)
    if config.clip_norm > 0
    else optax.identity()
  )
  return optax.chain(
    clip,
    optax.scale_by_adam(config.adam_b1, config.adam_b2),
    optax.stateless(add_decay),
    optax.stateless(
      lambda updates, _: jax.tree.map(lambda u, r: u * r, updates, rate)
    ),
    optax.scale_by_learning_rate(schedule),
  )
