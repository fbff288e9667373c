"""The training of a run, from its newest checkpoint or from the beginning."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from causal_mlr_jax.core import parallel, progress
from causal_mlr_jax.core.preemption import on_sigterm
from causal_mlr_jax.data import pipeline
from causal_mlr_jax.data.dataset import Dataset
from causal_mlr_jax.evaluation import metrics as metrics_lib
from causal_mlr_jax.stages import evaluation
from causal_mlr_jax.stages.experiment import Experiment, SideInputs, timed
from causal_mlr_jax.stages.model import initial_state
from causal_mlr_jax.training import learner as learner_lib
from causal_mlr_jax.training import loop, predict, step
from causal_mlr_jax.training.checkpoint import METRIC, Checkpoints
from causal_mlr_jax.training.learner import Learner
from causal_mlr_jax.training.metrics_writer import Writer


def train(
  experiment: Experiment,
  dataset: Dataset,
  side_inputs: SideInputs,
  learner: Learner,
) -> None:
  """Trains to the end, from the newest checkpoint if there is one."""
  with timed(experiment, "training"):
    mesh, plan = experiment.mesh, learner.plan
    state: step.TrainState | None = None
    sums = None
    if not parallel.decided_by_first(experiment.workdir.is_trained):
      state = initial_state(experiment, dataset, side_inputs, learner)
    iterator = train_batches(experiment, dataset, side_inputs)
    checkpoints = Checkpoints(experiment.workdir.checkpoints)
    newest = checkpoints.latest_step
    if newest is not None:
      progress.say(f"training: going on from step {newest} of {plan.total}")
      state = checkpoints.restore(newest, learner.shapes, mesh, iterator)
      sums = checkpoints.sums(newest)
    if newest != plan.total:
      writer = Writer(experiment.workdir.path, newest or 0)
      validate = make_validate(experiment, dataset, side_inputs, learner)
      with (
        contextlib.closing(writer),
        contextlib.closing(checkpoints),
        on_sigterm() as stop,
      ):
        services = loop.Services(checkpoints, writer, validate, stop)
        step_fn = learner_lib.parallel_step(
          experiment.config, learner, experiment.method, mesh
        )
        shared = side_inputs.shared
        assert state is not None  # restored, where it is not the first one
        loop.fit(step_fn, state, iterator, shared, mesh, plan, services, sums)


def import_weights(
  experiment: Experiment,
  dataset: Dataset,
  side_inputs: SideInputs,
  learner: Learner,
) -> None:
  """Saves the state that training would start from as a checkpoint."""
  checkpoints = Checkpoints(experiment.workdir.checkpoints)
  state = initial_state(experiment, dataset, side_inputs, learner)
  iterator = train_batches(experiment, dataset, side_inputs)
  checkpoints.save(0, state, iterator)
  checkpoints.close()
  progress.say(
    f"imported {experiment.config.init_from} into {experiment.workdir.path}; "
    "--mode=evaluate scores it, --mode=train goes on from it"
  )


def train_batches(
  experiment: Experiment, dataset: Dataset, side_inputs: SideInputs
) -> Any:
  """Returns the endless iterator of the training batches."""
  config = experiment.config
  return pipeline.train_batches(
    dataset,
    config.data.train_split,
    config.data.preprocess_train,
    config.train.batch_size,
    config.seed,
    side_inputs.training_examples,
  )


def make_validate(
  experiment: Experiment,
  dataset: Dataset,
  side_inputs: SideInputs,
  learner: Learner,
) -> Callable[[step.TrainState], dict[str, float]]:
  """Returns a function from a training state to validation scalars."""
  config = experiment.config
  predict_step = predict.make_predict_step(
    learner.model, experiment.method, experiment.mesh
  )

  def validate(state: step.TrainState) -> dict[str, float]:
    metrics = evaluation.score(
      experiment,
      dataset,
      config.data.validation_split,
      predict_step,
      predict.evaluation_variables(state, config.evaluate.use_ema),
      side_inputs,
    )
    shown = metrics_lib.headline(metrics, config.evaluate.metric)
    best = {METRIC: shown.pop("all")}
    named = {f"{METRIC}_{name}": value for name, value in shown.items()}
    return {k: v for k, v in (best | named).items() if v is not None}

  return validate
