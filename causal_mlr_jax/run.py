"""The story: prepare data, side inputs, train, evaluate, report."""

from __future__ import annotations

import importlib.metadata
import platform
from types import ModuleType

import jax
import jax.numpy as jnp
import ml_collections
from jax.sharding import Mesh

from causal_mlr_jax import (
  audit,
  confounder_inputs,
  effects,
  first_stage,
  needed_files,
  side_inputs,
  stages,
  transfer,
)
from causal_mlr_jax.context import Context
from causal_mlr_jax.core import files, lookup, parallel, progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data import preprocess, reading
from causal_mlr_jax.data.dataset import Dataset
from causal_mlr_jax.data.side_inputs import known_label_state
from causal_mlr_jax.evaluation.metrics import HEADLINES
from causal_mlr_jax.modes import MODES, ON_A_RUN
from causal_mlr_jax.reports import summary
from causal_mlr_jax.training import model as model_lib
from causal_mlr_jax.training import optimizer, setup
from causal_mlr_jax.training.checkpoint import Checkpoints
from causal_mlr_jax.training.criterion import make_criterion
from causal_mlr_jax.weights import init_from
from causal_mlr_jax.workdir import Workdir, as_json

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain")


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
  folder = Workdir(workdir)
  with parallel.together():
    method = check(config, mesh)
    check_mode(config, method, folder, mode)
    needed_files.check(config, method, folder, mode)
    config = init_from.with_variant(config, folder.config)
  folder.check(config)
  with folder.locked():
    context = Context(config, folder, mesh, method, {})
    needs = "evaluate" if mode in ON_A_RUN else mode
    dataset = stages.prepare_data(context, needs)
    target = transfer.prepare(context, dataset)
    if mode == "prepare":
      show_data(config, dataset)
      return
    if mode == "audit":
      folder.check_data(dataset)
      audit.run(context, dataset)
      return
    if mode == "confounders":
      side_inputs.prepare_confounders(context, dataset, mode)
      progress.say(f"confounders: {folder.confounders}")
      return
    begin(context, dataset)
    inputs = side_inputs.prepare(context, dataset, needs)
    parts = stages.make_parts(context, dataset, inputs)
    no_report = {"import": import_weights, "effects": effects.run}
    if mode in no_report:
      no_report[mode](context, dataset, inputs, parts)
      return
    if mode == "train":
      stages.train(context, dataset, inputs, parts)
    report(context, dataset, target, inputs, parts)
  if jax.process_index() == 0:
    summary.show(folder.report / "report.json")


def begin(context: Context, dataset: Dataset) -> None:
  """Writes into the workdir what it is a run of, after the last check.

  Raises:
    UserError: it is one on other data, or `init_from` does not fit.
  """
  config, folder = context.config, context.workdir
  with parallel.together():
    if not folder.is_trained():
      init_from.check(config, len(dataset.labels))
  folder.check_data(dataset)
  folder.save_config(config)


def check(config: ml_collections.ConfigDict, mesh: Mesh) -> ModuleType:
  """Checks all names and sizes, and returns the method's module.

  Raises:
    UserError: the first thing that is wrong.
  """
  method = model_lib.find_method(config.method.name)
  make_criterion(config.loss, config.train.batch_size, 1)
  model = model_lib.make_model(config, num_labels=1)
  # The shapes alone: a backbone names its wrong options here.
  image = jnp.zeros((1, 64, 64, 3))
  jax.eval_shape(
    lambda key: model.backbone.init(key, image, train=False), jax.random.key(0)
  )
  preprocess.parse(config.data.preprocess_train)
  preprocess.parse(config.data.preprocess_evaluate)
  reading.from_config(config.data)
  optimizer.check(config.train)
  for section in ("train", "evaluate"):
    size = config[section].batch_size
    parallel.check_divides(f"{section}.batch_size", size, mesh)
  if "confounders" in method.NEEDS:
    confounder_inputs.check(config, mesh)
  if "label_state" in method.NEEDS:
    known_label_state(config.method.known_labels)
  if hasattr(method, "first_stage"):
    optimizer.check(first_stage.config_of(config).train)
  if config.evaluate.metric not in HEADLINES:
    raise lookup.unknown_name(
      "evaluate.metric", config.evaluate.metric, HEADLINES
    )
  audit.check(config)
  effects.check(config)
  transfer.check(config)
  init_from.check_names(config)
  return method


def check_mode(
  config: ml_collections.ConfigDict,
  method: ModuleType,
  folder: Workdir,
  mode: str,
) -> None:
  """Checks that the mode has what it works on.

  Raises:
    UserError: it has not.
  """
  if mode == "confounders" and "confounders" not in method.NEEDS:
    raise UserError(
      f"The method {config.method.name!r} needs no confounders, so "
      "--mode=confounders has nothing to make; --mode=train trains it."
    )
  if mode in ON_A_RUN:
    folder.need_checkpoint()
  if mode == "effects":
    effects.split_of(config)
  if mode == "import":
    if not config.init_from:
      raise UserError(
        "--mode=import needs the file to import: set --config.init_from=FILE."
      )
    if folder.is_trained():
      raise UserError(
        f"The workdir {folder.path} holds checkpoints already; set another "
        "--workdir to import into."
      )


def show_data(config: ml_collections.ConfigDict, dataset: Dataset) -> None:
  """Says what the prepared data set holds."""
  sizes = (f"{name} {len(x):,}" for name, x in dataset.sources.items())
  progress.say(
    f"data: {dataset.name} in {config.data.dir}: {len(dataset.labels)} labels, "
    f"{len(dataset.biased_pairs)} biased pairs; images: {', '.join(sizes)}"
  )
  skipped = dataset.metadata.get("skipped", [])
  if skipped:
    progress.say(f"data: {len(skipped)} image(s) could not be read: {skipped}")


def import_weights(
  context: Context,
  dataset: Dataset,
  inputs: stages.SideInputs,
  parts: setup.Parts,
) -> None:
  """Saves the initial state as a checkpoint, for --mode=evaluate."""
  checkpoints = Checkpoints(context.workdir.checkpoints)
  state = stages.initial_state(context, dataset, inputs, parts)
  iterator = stages.train_batches(context, dataset, inputs)
  checkpoints.save(0, state, iterator)
  checkpoints.close()
  progress.say(
    f"imported {context.config.init_from} into {context.workdir.path}; "
    "--mode=evaluate scores it, --mode=train goes on from it"
  )


def report(
  context: Context,
  dataset: Dataset,
  target: Dataset | None,
  inputs: stages.SideInputs,
  parts: setup.Parts,
) -> None:
  """Scores the best checkpoint and writes report.json."""
  step, metrics = stages.evaluate(context, dataset, inputs, parts)
  if target is not None:
    metrics |= transfer.evaluate(context, dataset, target, inputs, parts)
  found = {
    "metrics": metrics,
    "seconds": context.seconds,
    "config": as_json(context.config),
    "seed": context.config.seed,
    "step": step,
    "steps": parts.plan.total,
    "data": dataset.fingerprint,
    "started_from": context.workdir.read_started_from(),
    "side_inputs": inputs.provenance,
    "versions": versions(),
  }
  with parallel.together():
    if jax.process_index() == 0:
      files.write_json(context.workdir.report / "report.json", found)


def versions() -> dict[str, str]:
  """Returns what the results were computed with."""
  found = {name: importlib.metadata.version(name) for name in PACKAGES}
  device = jax.devices()[0]
  return found | {
    "python": platform.python_version(),
    "device": f"{jax.device_count()} x {device.device_kind}",
  }
