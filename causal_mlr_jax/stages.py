"""The stages of a run: data, model, training, evaluation."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np

from causal_mlr_jax.context import Context, timed
from causal_mlr_jax.core import parallel, progress
from causal_mlr_jax.core.preemption import on_sigterm
from causal_mlr_jax.core.types import Side, Tree
from causal_mlr_jax.data import dataset as dataset_lib
from causal_mlr_jax.data import pipeline, reading
from causal_mlr_jax.data.dataset import Dataset
from causal_mlr_jax.data.pairs import with_pairs
from causal_mlr_jax.data.pipeline import Extra
from causal_mlr_jax.data.side_inputs import UNKNOWN
from causal_mlr_jax.evaluation import metrics as metrics_lib
from causal_mlr_jax.training import loop, predict, setup, step
from causal_mlr_jax.training import model as model_lib
from causal_mlr_jax.training.checkpoint import METRIC, Checkpoints
from causal_mlr_jax.training.writer import Writer
from causal_mlr_jax.weights import init_from, initial, started_from

# Of the bootstrap that gives the standard errors of the report.
RESAMPLES = 100


class SideInputs(NamedTuple):
  """What a method is given besides the images.

  Attributes:
    side: of the whole data set, by name, replicated.
    train_extras: of each training example, see `pipeline.Extra`.
    evaluate_extras: of each example at test.
    initialise: from the model's initial variables to those it starts from.
    provenance: what they were made from, for the report.
  """

  side: Side
  train_extras: Mapping[str, Extra]
  evaluate_extras: Mapping[str, Extra]
  initialise: Callable[[Tree], Tree]
  provenance: Mapping[str, Any]


def prepare_data(context: Context, mode: str) -> Dataset:
  """Prepares the data set unless it is there, and opens it."""
  section = context.config.data
  splits = (
    section.train_split,
    section.validation_split,
    *section.test_splits,
  )
  with timed(context, "data"):
    dataset = open_data(section, splits, mode != "evaluate")
    using = reading.with_own_threads(reading.from_config(section))
    dataset = dataclasses.replace(dataset, reading=using)
    return with_pairs(dataset, section.pairs) if section.pairs else dataset


def open_data(
  section: ml_collections.ConfigDict,
  splits: Sequence[str],
  may_prepare: bool = True,
) -> Dataset:
  """Opens a data set, and prepares it first if it is not there.

  Args:
    section: like `data` of the configuration.
    splits: that are needed.
    may_prepare: whether it may be prepared.

  Raises:
    UserError: it cannot be prepared, or lacks a split.
  """
  for split in splits:
    dataset_lib.parse_split(split)  # before data are prepared for long
  builder = dataset_lib.find_builder(section)
  if may_prepare:
    # Of several processes the first one does it; the others, and this one,
    # then look at what is there.
    with parallel.together():
      if jax.process_index() == 0 and not dataset_lib.is_prepared(builder):
        progress.say(f"data: preparing {builder.name} in {builder.data_dir}")
        dataset_lib.prepare(builder)
    builder = dataset_lib.find_builder(section)
  dataset = dataset_lib.open_prepared(builder)
  for split in splits:
    dataset.source(split)
  return dataset


def make_parts(
  context: Context, dataset: Dataset, inputs: SideInputs
) -> setup.Parts:
  """Returns the model, the shapes of its state, the optimiser, the plan."""
  with timed(context, "model"):
    return setup.make_parts(
      context.config, dataset, inputs.side, inputs.evaluate_extras
    )


def initial_state(
  context: Context, dataset: Dataset, inputs: SideInputs, parts: setup.Parts
) -> step.TrainState:
  """Returns the state that training starts from, and writes what that is."""
  config = context.config

  def initialise(variables: Tree) -> Tree:
    if started_from.reads_pretrained(config):
      variables = initial.with_pretrained_backbone(config.backbone, variables)
    return init_from.initialise(
      config, inputs.initialise(variables), dataset.labels, parts.side
    )

  state = setup.initial_state(parts, initialise, context.mesh)
  first = inputs.provenance.get("first_stage")
  found = started_from.describe(
    context.config, len(dataset.labels), first is not None
  )
  more = {} if first is None else {"first_stage": first["started_from"]}
  context.workdir.save_parameters(state.params, found | more)
  return state


def train(
  context: Context, dataset: Dataset, inputs: SideInputs, parts: setup.Parts
) -> None:
  """Trains, from the newest checkpoint if there is one, to the end."""
  with timed(context, "training"):
    config, mesh, plan = context.config, context.mesh, parts.plan
    state = sums = None
    if not parallel.first_decides(context.workdir.is_trained):
      state = initial_state(context, dataset, inputs, parts)
    iterator = train_batches(context, dataset, inputs)
    checkpoints = Checkpoints(context.workdir.checkpoints)
    newest = checkpoints.latest_step
    if newest is not None:
      progress.say(f"training: going on from step {newest} of {plan.total}")
      state = checkpoints.restore(newest, parts.shapes, mesh, iterator)
      sums = checkpoints.sums(newest)
    if newest != plan.total:
      writer = Writer(context.workdir.path, newest or 0)
      validate = make_validate(context, dataset, parts.model, inputs)
      with (
        contextlib.closing(writer),
        contextlib.closing(checkpoints),
        on_sigterm() as stop,
      ):
        services = loop.Services(checkpoints, writer, validate, stop)
        step_fn = setup.mapped_step(config, parts, context.method, mesh)
        loop.fit(
          step_fn, state, iterator, inputs.side, mesh, plan, services, sums
        )


def train_batches(
  context: Context, dataset: Dataset, inputs: SideInputs
) -> Any:
  """Returns the endless iterator of the training batches."""
  config = context.config
  return pipeline.train_batches(
    dataset,
    config.data.train_split,
    config.data.preprocess_train,
    config.train.batch_size,
    config.seed,
    inputs.train_extras,
  )


def make_validate(
  context: Context,
  dataset: Dataset,
  model: model_lib.Model,
  inputs: SideInputs,
) -> Callable[[step.TrainState], dict[str, float]]:
  """Returns a function from a training state to validation scalars."""
  predict_step = predict.make_predict_step(model, context.method, context.mesh)

  def validate(state: step.TrainState) -> dict[str, float]:
    metrics = score(
      context,
      dataset,
      context.config.data.validation_split,
      predict_step,
      predict.evaluation_variables(state, context.config.evaluate.use_ema),
      inputs,
    )
    shown = metrics_lib.headline(metrics, context.config.evaluate.metric)
    best = {METRIC: shown.pop("all")}
    named = {f"{METRIC}_{name}": value for name, value in shown.items()}
    return {k: v for k, v in (best | named).items() if v is not None}

  return validate


def score(
  context: Context,
  dataset: Dataset,
  split: str,
  predict_step: Callable[..., Any],
  variables: Tree,
  inputs: SideInputs,
  resamples: int = 0,
) -> dict[str, Any]:
  """Returns all metrics of a split, see `evaluation.metrics.compute`."""
  scores, labels = predictions(
    context, dataset, split, predict_step, variables, inputs
  )
  return metrics_lib.compute(
    scores,
    labels,
    dataset.labels,
    dataset.biased_pairs,
    resamples,
    unknown_labels(labels, inputs),
  )


def predictions(
  context: Context,
  dataset: Dataset,
  split: str,
  predict_step: Callable[..., Any],
  variables: Tree,
  inputs: SideInputs,
) -> tuple[np.ndarray, np.ndarray]:
  """Returns scores and labels of a split, both [images, N]."""
  config = context.config
  return predict.predict_split(
    predict_step,
    variables,
    inputs.side,
    pipeline.evaluation_batches(
      dataset,
      split,
      config.data.preprocess_evaluate,
      config.evaluate.batch_size,
      inputs.evaluate_extras,
    ),
    len(dataset.source(split)),
    context.mesh,
    f"evaluating {split}",
  )


def unknown_labels(labels: np.ndarray, inputs: SideInputs) -> np.ndarray | None:
  """Returns which labels [images, N] a method was not told, None for all.

  A label that was told is no prediction, and no metric may count it.
  """
  draw = inputs.evaluate_extras.get("label_state")
  if draw is None:
    return None
  rng = np.random.default_rng(0)  # not used: the image alone decides
  states = [draw(i, row, rng) for i, row in enumerate(labels)]
  return np.stack(states) == UNKNOWN


def evaluate(
  context: Context, dataset: Dataset, inputs: SideInputs, parts: setup.Parts
) -> tuple[int, dict[str, Any]]:
  """Scores the best checkpoint on the test splits.

  Returns:
    Its step, and the metrics by split.
  """
  with timed(context, "evaluation"):
    config = context.config
    step_number, variables = best_variables(context, parts)
    predict_step = predict.make_predict_step(
      parts.model, context.method, context.mesh
    )
    metrics = {
      split: score(
        context, dataset, split, predict_step, variables, inputs, RESAMPLES
      )
      for split in config.data.test_splits
    }
  return step_number, metrics


def best_variables(context: Context, parts: setup.Parts) -> tuple[int, Tree]:
  """Returns the step and the variables of the best checkpoint."""
  fields = predict.evaluation_fields(context.config.evaluate.use_ema)
  target = {field: getattr(parts.shapes, field) for field in fields}
  checkpoints = Checkpoints(context.workdir.checkpoints)
  best = checkpoints.best_step
  found = checkpoints.restore_fields(best, target, context.mesh)
  params, rest = (found[field] for field in fields)
  return best, {"params": params, **rest}
