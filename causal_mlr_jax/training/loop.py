"""The training loop: steps, logs, validation, checkpoints, resumption."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import grain
import ml_collections
from clu.metrics import Average
from jax.sharding import Mesh

from causal_mlr_jax.core import parallel, progress
from causal_mlr_jax.core.errors import NonFiniteError, Preempted
from causal_mlr_jax.core.preemption import StopRequest
from causal_mlr_jax.core.types import Side
from causal_mlr_jax.training.checkpoint import METRIC, Checkpoints, Sums
from causal_mlr_jax.training.metrics_writer import Writer
from causal_mlr_jax.training.speed import Speed
from causal_mlr_jax.training.step import TrainState, merge_metrics

Step = Callable[..., tuple[TrainState, dict[str, Any]]]


@dataclasses.dataclass(frozen=True)
class Plan:
  """The length of training, and when to validate and log, in steps.

  Attributes:
    total: Total number of steps.
    validate_every: Steps between validations, each with a checkpoint.
    log_every: Steps between lines of the log.
    batch_size: Size of the global batch, to report images per second.
  """

  total: int
  validate_every: int
  log_every: int
  batch_size: int


def make_plan(config: ml_collections.ConfigDict, examples: int) -> Plan:
  """Returns the plan of a configuration for a number of training examples."""
  per_epoch = examples / config.train.batch_size
  return Plan(
    total=max(1, round(config.train.epochs * per_epoch)),
    validate_every=max(1, round(config.evaluate.every_epochs * per_epoch)),
    log_every=config.train.log_every,
    batch_size=config.train.batch_size,
  )


@dataclasses.dataclass(frozen=True)
class Services:
  """The objects that the loop calls besides the step.

  Attributes:
    checkpoints: Checkpoints of the run.
    writer: Writer of the logs.
    validate: Function from a state to scalars by name, including `validation`.
    stop: Request to stop, polled after each step.
  """

  checkpoints: Checkpoints
  writer: Writer
  validate: Callable[[TrainState], dict[str, float]]
  stop: StopRequest


def fit(
  step_fn: Step,
  state: TrainState,
  iterator: grain.DatasetIterator,
  side: Side,
  mesh: Mesh,
  plan: Plan,
  services: Services,
  sums: Sums | None = None,
) -> TrainState:
  """Trains from the given state and iterator to the end of the plan.

  Args:
    step_fn: The mapped step; its state argument is donated.
    state: The state, replicated: initial or restored.
    iterator: This process's training batches, at the same step as `state`.
    side: The method's side inputs, replicated.
    mesh: The device mesh, from `parallel.make_mesh`.
    plan: A plan from `make_plan`.
    services: Validation, logs, checkpoints and the request to stop.
    sums: Sums of the metrics since the last line, from the checkpoint.

  Returns:
    The state after the last step.

  Raises:
    NonFiniteError: The loss or a gradient was NaN or infinite.
    Preempted: A stop was requested; the state is saved.
  """
  start, size, speed = int(state.step), plan.batch_size, Speed()
  metrics = {k: Average(*v) for k, v in sums.items()} if sums else None
  with progress.bar("training", plan.total * size, done=start * size) as bar:
    for step in range(start + 1, plan.total + 1):
      batch = parallel.shard(speed.next(iterator), mesh)
      state, new = step_fn(state, batch, side)
      metrics = new if metrics is None else merge_metrics(metrics, new)
      bar.advance(size, step=step)
      due = step % plan.validate_every == 0 or step == plan.total
      stopping = services.stop.now()
      if due or step % plan.log_every == 0:
        values, metrics = _read(metrics, step), None
        services.writer.write(step, values)
        services.writer.write_speed(step, speed.read(size))
        bar.advance(0, loss=values["loss"])
      if due:
        _validate_and_save(step, state, iterator, services)
      if stopping and step < plan.total:
        if not due:
          sums = _sums(metrics, step)  # a resumed run then logs the same values
          services.checkpoints.save(step, state, iterator, sums=sums)
        raise Preempted(f"Stopped after step {step} of {plan.total}, saved.")
  return state


def _validate_and_save(
  step: int,
  state: TrainState,
  iterator: grain.DatasetIterator,
  services: Services,
) -> None:
  scores = services.validate(state)
  services.writer.write(step, scores)
  services.checkpoints.save(step, state, iterator, scores.get(METRIC))


def _read(metrics: dict[str, Average], step: int) -> dict[str, float]:
  """Fetches the averages, which makes the loop wait for the device.

  Raises:
    NonFiniteError: The loss or gradient of one of the steps was not finite.
  """
  values = {name: float(m.compute()) for name, m in metrics.items()}
  if values.pop("finite") < 1:
    raise NonFiniteError(
      "The loss or a gradient was NaN or infinite in one or more steps up to "
      f"step {step}. Those steps were not applied, and nothing has been saved "
      "since the last checkpoint. Try a lower --config.train.learning_rate, or "
      "--config.train.clip_norm=1."
    )
  return values


def _sums(metrics: dict[str, Average] | None, step: int) -> Sums:
  """Fetches the sums since the last line of the log, checked to be finite."""
  if metrics is None:  # a line has just been written
    return {}
  _read(metrics, step)
  return {k: (float(m.total), float(m.count)) for k, m in metrics.items()}
