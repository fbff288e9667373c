"""The optimiser of a configuration: update rule, schedule and clipping."""

from __future__ import annotations

from numbers import Real

import jax
import ml_collections
import optax

from causal_mlr_jax.core import parameter_rules
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.lookup import unknown_name
from causal_mlr_jax.core.types import Tree
from causal_mlr_jax.training import schedules

OPTIMIZERS = ("adamw", "adam", "sgd")
SCHEDULES = ("one_cycle", "cosine", "constant", "step")
# As in PyTorch's OneCycleLR: the first rate is peak / 25, the last rate is
# first / 10 000; momentum falls from HIGH to LOW while the rate rises.
DIVIDE_FIRST, DIVIDE_LAST = 25.0, 1e4
HIGH, LOW = 0.95, 0.85


def check(config: ml_collections.ConfigDict) -> None:
  """Checks everything that can be checked without the parameters.

  Args:
    config: The section `train`.

  Raises:
    UserError: A value is invalid; only the first such value is reported.
  """
  make_schedule(config, 1)
  make_momentum(config, 1)


def make_schedule(
  config: ml_collections.ConfigDict, steps: int
) -> optax.Schedule:
  """Returns the learning rate as a function of the step.

  Args:
    config: The section `train`.
    steps: Total number of training steps.

  Raises:
    UserError: The schedule is unknown, the warm-up is outside [0, 1), or
      `step_at` has values outside [0, 1].
  """
  if not 0 <= config.warmup < 1:
    raise UserError(
      f"train.warmup = {config.warmup}: expected the fraction of the steps in "
      "which the learning rate rises, at least 0 and below 1."
    )
  rate, steps = config.learning_rate, max(steps, 2)
  if config.schedule == "one_cycle":
    first = rate / DIVIDE_FIRST
    last = first / DIVIDE_LAST
    return schedules.two_phases(steps, config.warmup, first, rate, last)
  if config.schedule == "cosine":
    return optax.warmup_cosine_decay_schedule(
      0.0, rate, int(config.warmup * steps), steps
    )
  if config.schedule == "constant":
    return optax.constant_schedule(rate)
  if config.schedule == "step":
    _check_steps(config)
    return schedules.in_steps(rate, steps, config.step_at, config.step_factor)
  raise unknown_name("train.schedule", config.schedule, SCHEDULES)


def make_momentum(
  config: ml_collections.ConfigDict, steps: int
) -> optax.Schedule | float:
  """Returns Adam's beta1 or SGD's momentum: a number, or a schedule.

  Args:
    config: The section `train`.
    steps: Total number of training steps.

  Raises:
    UserError: The optimiser is unknown, or `cycle_momentum` is set without the
      schedule 'one_cycle'.
  """
  if config.optimizer not in OPTIMIZERS:
    raise unknown_name("train.optimizer", config.optimizer, OPTIMIZERS)
  if not config.cycle_momentum:
    return config.momentum if config.optimizer == "sgd" else config.adam_b1
  if config.schedule != "one_cycle":
    raise UserError(
      f"train.cycle_momentum is True with train.schedule = "
      f"{config.schedule!r}: only 'one_cycle' has a cycle to follow. "
      "Set train.cycle_momentum to False or train.schedule to 'one_cycle'."
    )
  return schedules.two_phases(max(steps, 2), config.warmup, HIGH, LOW, HIGH)


def make_optimizer(
  config: ml_collections.ConfigDict,
  schedule: optax.Schedule,
  params: Tree,
  steps: int,
) -> optax.GradientTransformation:
  """Returns the optimiser: clipping, decay, update rule and learning rate.

  'adam' and 'sgd' add the decay to the clipped gradient, as PyTorch's Adam
  and SGD do; 'adamw' adds it to Adam's update.

  Args:
    config: The section `train`.
    schedule: A schedule from `make_schedule`.
    params: The parameters, to resolve the path rules.
    steps: Total number of training steps, for a cycling momentum.

  Raises:
    UserError: The optimiser is unknown, or the rules do not fit the parameters.
  """
  rate = parameter_rules.match(
    "train.learning_rate_rules", config.learning_rate_rules, params
  )
  factors = parameter_rules.match(
    "train.weight_decay_rules", config.weight_decay_rules, params
  )
  clip = (
    optax.clip_by_global_norm(config.clip_norm)
    if config.clip_norm > 0
    else optax.identity()
  )
  rule = _rule(config, make_momentum(config, steps))
  decay = optax.stateless(
    lambda updates, params: jax.tree.map(
      lambda u, p, d: u + config.weight_decay * d * p, updates, params, factors
    )
  )
  decoupled = config.optimizer == "adamw"
  return optax.chain(
    clip,
    *((rule, decay) if decoupled else (decay, rule)),
    optax.stateless(
      lambda updates, _: jax.tree.map(lambda u, r: u * r, updates, rate)
    ),
    optax.scale_by_learning_rate(schedule),
  )


def _rule(
  config: ml_collections.ConfigDict, momentum: optax.Schedule | float
) -> optax.GradientTransformation:
  """Returns the update rule, which keeps the moments.

  If beta1 changes, Adam divides the first moment by 1 - beta1^t with the
  current beta1, as PyTorch does, although earlier steps used other values;
  after a few hundred steps the factor is 1 anyway.
  """

  def rule(momentum: float) -> optax.GradientTransformation:
    if config.optimizer == "sgd":
      return optax.trace(momentum)
    return optax.scale_by_adam(momentum, config.adam_b2)

  # A changing momentum is kept in the state, so that checkpoints include it.
  if callable(momentum):
    return optax.inject_hyperparams(rule)(momentum)
  return rule(momentum)


def _check_steps(config: ml_collections.ConfigDict) -> None:
  at = config.step_at
  if not at or not all(isinstance(x, Real) and 0 <= float(x) <= 1 for x in at):
    raise UserError(
      f"train.step_at = {tuple(at)}: expected at least one fraction of the "
      "training, each from 0 to 1, such as (0.6, 0.8) for epochs 30 and 40 of "
      "50. For a constant rate set train.schedule='constant'."
    )
  if config.step_factor <= 0:
    raise UserError(
      f"train.step_factor = {config.step_factor}: expected the factor by which "
      "the learning rate is multiplied at each train.step_at, above 0, such as "
      "0.1."
    )
