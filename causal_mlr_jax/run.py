"""The story: prepare data, confounders, train, evaluate, report."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
from jax.sharding import Mesh

from causal_mlr_jax import side_inputs
from causal_mlr_jax.confounders import build as confounders_lib
from causal_mlr_jax.context import Context, timed
from causal_mlr_jax.core import files, lookup, parallel, progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.preemption import on_sigterm
from causal_mlr_jax.core.types import Side, Tree
from causal_mlr_jax.data import dataset as dataset_lib
from causal_mlr_jax.data import pipeline, preprocess
from causal_mlr_jax.data.dataset import Dataset
from causal_mlr_jax.evaluation import metrics as metrics_lib
from causal_mlr_jax.reports import summary
from causal_mlr_jax.training import loop, optimizer, predict, setup, step
from causal_mlr_jax.training import model as model_lib
from causal_mlr_jax.training.checkpoint import METRIC, Checkpoints
from causal_mlr_jax.training.writer import Writer
from causal_mlr_jax.weights import initial
from causal_mlr_jax.workdir import Workdir, as_json

MODES = ("train", "confounders", "evaluate")
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain")

# Of the bootstrap that gives the standard errors of the report.
RESAMPLES = 100


def run(config: ml_collections.ConfigDict, workdir: str, mode: str) -> None:
  """Runs the stages of a mode, reusing what an earlier run has done.

  Args:
    config: see `configs/common.py`.
    workdir: the run's folder, made if absent.
    mode: one of `MODES`.

  Raises:
    UserError: before anything is written, where the error can be known then.
    NonFiniteError: training diverged.
    Preempted: the process was asked to stop; its state is saved.
  """
  if mode not in MODES:
    raise lookup.unknown_name("mode", mode, MODES)
  mesh = parallel.make_mesh()
  method = check(config, mesh)
  if mode == "confounders" and "confounders" not in method.NEEDS:
    raise UserError(
      f"The method {config.method.name!r} needs no confounders, so "
      "--mode=confounders has nothing to make; --mode=train trains it."
    )
  folder = Workdir(workdir)
  if mode == "evaluate" and not folder.is_trained():
    raise UserError(
      f"There is no checkpoint in {folder.checkpoints} to evaluate; train "
      "first with --mode=train, or set --workdir to the folder of a run."
    )
  folder.check(config)
  with folder.locked():
    context = Context(config, folder, mesh, method, {})
    dataset = prepare_data(context, mode)
    side, tables = side_inputs.prepare_confounders(context, dataset, mode)
    if mode == "confounders":
      progress.say(f"confounders: {folder.confounders}")
      return
    folder.check_data(dataset.fingerprint)
    folder.save_config(config)
    parts = make_parts(context, dataset, side)
    folder.save_parameters(parts.state.params)
    if mode == "train":
      train(context, dataset, side, tables, parts)
    evaluate(context, dataset, side, parts)
  if jax.process_index() == 0:
    summary.show(folder.report / "report.json")


def check(config: ml_collections.ConfigDict, mesh: Mesh) -> ModuleType:
  """Checks all names and sizes, and returns the method's module.

  Raises:
    UserError: the first thing that is wrong.
  """
  method = model_lib.find_method(config.method.name)
  dataset_lib.find_builder(
    config.data.name, config.data.variant, config.data.dir
  )
  lookup.module(model_lib.LOSSES, config.loss)
  model = model_lib.make_model(config, num_labels=1)
  # The shapes alone: a backbone names its wrong options here.
  image = jnp.zeros((1, 64, 64, 3))
  jax.eval_shape(
    lambda key: model.backbone.init(key, image, train=False), jax.random.key(0)
  )
  preprocess.parse(config.data.preprocess_train)
  preprocess.parse(config.data.preprocess_evaluate)
  optimizer.make_schedule(config.train, 1)
  for section in ("train", "evaluate"):
    size = config[section].batch_size
    parallel.check_divides(f"{section}.batch_size", size, mesh)
  if "confounders" in method.NEEDS:
    confounders_lib.check(config.confounders, mesh)
  return method


def prepare_data(context: Context, mode: str) -> Dataset:
  """Prepares the data set unless it is there, and opens it."""
  with timed(context, "data"):
    section = context.config.data
    where = (section.name, section.variant, section.dir)
    builder = dataset_lib.find_builder(*where)
    if not dataset_lib.is_prepared(builder) and mode != "evaluate":
      progress.say(f"data: preparing {builder.name} in {builder.data_dir}")
      # Of several processes the first one does it; the others, and this one,
      # then look at what is there.
      if jax.process_index() == 0:
        dataset_lib.prepare(builder)
      parallel.barrier("data")
      builder = dataset_lib.find_builder(*where)
    dataset = dataset_lib.open_prepared(builder)
    for split in (
      section.train_split,
      section.validation_split,
      *section.test_splits,
    ):
      dataset.source(split)
  return dataset


def make_parts(context: Context, dataset: Dataset, side: Side) -> setup.Parts:
  """Returns the model, its state before training, the optimiser, the plan."""
  section = context.config.backbone
  with timed(context, "model"):
    return setup.make_parts(
      context.config,
      dataset,
      side,
      lambda variables: initial.pretrained_variables(section, variables),
    )


def train(
  context: Context,
  dataset: Dataset,
  side: Side,
  tables: dict[str, Any],
  parts: setup.Parts,
) -> None:
  """Trains, from the newest checkpoint if there is one, to the end."""
  with timed(context, "training"):
    config, mesh = context.config, context.mesh
    plan, state = parts.plan, parts.state
    iterator = pipeline.train_batches(
      dataset,
      config.data.train_split,
      config.data.preprocess_train,
      config.train.batch_size,
      config.seed,
      tables,
    )
    checkpoints = Checkpoints(context.workdir.checkpoints)
    newest, sums = checkpoints.latest_step, None
    if newest is None:
      state = parallel.replicate(state, mesh)
    else:
      progress.say(f"training: going on from step {newest} of {plan.total}")
      state = checkpoints.restore(newest, state, mesh, iterator)
      sums = checkpoints.sums(newest)
    if newest != plan.total:
      writer = Writer(context.workdir.path, newest or 0)
      validate = make_validate(context, dataset, parts.model, side)
      with (
        contextlib.closing(writer),
        contextlib.closing(checkpoints),
        on_sigterm() as stop,
      ):
        services = loop.Services(checkpoints, writer, validate, stop)
        step_fn = setup.mapped_step(config, parts, context.method, mesh)
        loop.fit(step_fn, state, iterator, side, mesh, plan, services, sums)


def make_validate(
  context: Context, dataset: Dataset, model: model_lib.Model, side: Side
) -> Any:
  """Returns a function from a training state to validation scalars."""
  predict_step = predict.make_predict_step(model, context.method, context.mesh)

  def validate(state: step.TrainState) -> dict[str, float]:
    metrics = _score(
      context,
      dataset,
      context.config.data.validation_split,
      predict_step,
      predict.evaluation_variables(state, context.config.evaluate.use_ema),
      side,
    )
    named = {
      METRIC: metrics["all_map"],
      "validation_exclusive_map": metrics["exclusive_map"],
      "validation_cooccur_map": metrics["cooccur_map"],
    }
    return {k: v for k, v in named.items() if v is not None}

  return validate


def _score(
  context: Context,
  dataset: Dataset,
  split: str,
  predict_step: Any,
  variables: Tree,
  side: Side,
  resamples: int = 0,
) -> dict[str, Any]:
  config = context.config
  scores, labels = predict.predict_split(
    predict_step,
    variables,
    side,
    pipeline.evaluation_batches(
      dataset,
      split,
      config.data.preprocess_evaluate,
      config.evaluate.batch_size,
    ),
    len(dataset.source(split)),
    context.mesh,
    f"evaluating {split}",
  )
  return metrics_lib.compute(
    scores, labels, dataset.labels, dataset.biased_pairs, resamples
  )


def evaluate(
  context: Context, dataset: Dataset, side: Side, parts: setup.Parts
) -> None:
  """Scores the best checkpoint on the test splits and writes the report."""
  with timed(context, "evaluation"):
    config = context.config
    checkpoints = Checkpoints(context.workdir.checkpoints)
    best = checkpoints.best_step
    state = checkpoints.restore(best, parts.state, context.mesh)
    predict_step = predict.make_predict_step(
      parts.model, context.method, context.mesh
    )
    variables = predict.evaluation_variables(state, config.evaluate.use_ema)
    metrics = {
      split: _score(
        context, dataset, split, predict_step, variables, side, RESAMPLES
      )
      for split in config.data.test_splits
    }
  report = {
    "metrics": metrics,
    "seconds": context.seconds,
    "config": as_json(config),
    "seed": config.seed,
    "step": best,
    "steps": parts.plan.total,
    "data": dataset.fingerprint,
    "versions": versions(),
  }
  if jax.process_index() == 0:
    files.write_json(context.workdir.report / "report.json", report)


def versions() -> dict[str, str]:
  """Returns what the results were computed with."""
  found = {name: importlib.metadata.version(name) for name in PACKAGES}
  device = jax.devices()[0]
  return found | {
    "python": platform.python_version(),
    "device": f"{jax.device_count()} x {device.device_kind}",
  }
