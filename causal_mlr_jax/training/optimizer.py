"""The optimiser of a configuration: rule, schedule, path rules, clipping."""

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
# Of PyTorch's OneCycleLR: the first rate is the peak / 25, the last one the
# first / 10 000; momentum falls from HIGH to LOW while the rate rises.
DIVIDE_FIRST, DIVIDE_LAST = 25.0, 1e4
HIGH, LOW = 0.95, 0.85


def check(config: ml_collections.ConfigDict) -> None:
  """Checks everything that can be checked without the parameters.

  Args:
    config: the section `train`.

  Raises:
    UserError: the first thing that is wrong.
  """
  make_schedule(config, 1)
  make_momentum(config, 1)


def make_schedule(
  config: ml_collections.ConfigDict, steps: int
) -> optax.Schedule:
  """Returns the learning rate as a function of the step.

  Args:
    config: the section `train`.
    steps: of the whole training.

  Raises:
    UserError: an unknown schedule, a warm-up outside [0, 1), or steps that
      are no parts of the training.
  """
  if not 0 <= config.warmup < 1:
    raise UserError(
      f"train.warmup = {config.warmup}: expected the part of the steps in "
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
  """Returns Adam's beta1 or the momentum of SGD, fixed or by the step.

  Args:
    config: the section `train`.
    steps: of the whole training.

  Raises:
    UserError: an unknown optimiser, or momentum that cycles without a cycle.
  """
  if config.optimizer not in OPTIMIZERS:
    raise unknown_name("train.optimizer", config.optimizer, OPTIMIZERS)
  if not config.cycle_momentum:
    return config.momentum if config.optimizer == "sgd" else config.adam_b1
  if config.schedule != "one_cycle":
    raise UserError(
      f"train.cycle_momentum is True with train.schedule = "
      f"{config.schedule!r}: momentum follows the cycle of 'one_cycle' alone. "
      "Set train.cycle_momentum to False or train.schedule to 'one_cycle'."
    )
  return schedules.two_phases(max(steps, 2), config.warmup, HIGH, LOW, HIGH)


def make_optimizer(
  config: ml_collections.ConfigDict,
  schedule: optax.Schedule,
  params: Tree,
  steps: int,
) -> optax.GradientTransformation:
  """Returns the optimiser: clip, decay, rule and learning rate.

  'adam' and 'sgd' add the decay to the clipped gradient, as PyTorch's Adam
  and SGD do; 'adamw' adds it to Adam's update.

  Args:
    config: the section `train`.
    schedule: from `make_schedule`.
    params: the parameters, for the path rules.
    steps: of the whole training, for momentum that cycles.

  Raises:
    UserError: an unknown optimiser or rules that do not fit the parameters.
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
  """Returns the part with the moments.

  With a beta1 that changes, Adam divides the first moment by 1 - beta1^t of
  the present beta1, as PyTorch does, although the moment was gathered with
  other ones; after some hundred steps that factor is 1 either way.
  """

  def rule(momentum: float) -> optax.GradientTransformation:
    if config.optimizer == "sgd":
      return optax.trace(momentum)
    return optax.scale_by_adam(momentum, config.adam_b2)

  # A momentum that changes is kept in the state, so that it is saved too.
  if callable(momentum):
    return optax.inject_hyperparams(rule)(momentum)
  return rule(momentum)


def _check_steps(config: ml_collections.ConfigDict) -> None:
  at = config.step_at
  if not at or not all(isinstance(x, Real) and 0 <= float(x) <= 1 for x in at):
    raise UserError(
      f"train.step_at = {tuple(at)}: expected at least one part of the "
      "training, each from 0 to 1, such as (0.6, 0.8) for epochs 30 and 40 of "
      "50; train.schedule = 'constant' has none."
    )
  if config.step_factor <= 0:
    raise UserError(
      f"train.step_factor = {config.step_factor}: expected the factor of the "
      "learning rate at each of train.step_at, above 0, such as 0.1."
    )
