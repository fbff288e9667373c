"""The story of a run: check everything, then do what the mode says.

Each mode is two short functions below, what it needs and what it does, built
of the stages in `stages/` and of the studies in `studies/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import ml_collections

from causal_mlr_jax.core import lookup, parallel, progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import Method
from causal_mlr_jax.data.dataset import Dataset
from causal_mlr_jax.modes import MODES
from causal_mlr_jax.stages import (
  config_check,
  confounders,
  data,
  first_stage,
  model,
  required_files,
  side_inputs,
  thresholds,
  training,
  transfer,
)
from causal_mlr_jax.stages.experiment import Experiment, SideInputs
from causal_mlr_jax.stages.report import run_page
from causal_mlr_jax.stages.report.run_report import report
from causal_mlr_jax.studies import audit, effects
from causal_mlr_jax.training.learner import Learner
from causal_mlr_jax.weights import init_from
from causal_mlr_jax.workdir import Workdir


def run(config: ml_collections.ConfigDict, workdir: str, mode: str) -> None:
  """Runs a mode, reusing what an earlier run has done.

  Args:
    config: see `configs/common.py`.
    workdir: the run's folder, made if absent.
    mode: one of `MODES`.

  Raises:
    UserError: before anything is written, where the error can be known then.
    NonFiniteError: training diverged.
    Preempted: the process was asked to stop; its state is saved.
  """
  lookup.check_name("mode", mode, MODES)
  mesh = parallel.make_mesh()
  folder = Workdir(workdir)
  with parallel.wait_for_all():
    method = config_check.check(config, mesh)
    audit.check(config)
    effects.check(config)
    ACTIONS[mode].check(config, method, folder)
    config = init_from.with_variant(config, folder.config)
  folder.check(config)
  with folder.locked():
    reuse_only = MODES[mode].on_a_run
    experiment = Experiment(config, folder, mesh, method, {}, reuse_only)
    ACTIONS[mode].do(experiment)


def train(experiment: Experiment) -> None:
  """Prepares what is missing, trains, evaluates and reports."""
  dataset, target = _data(experiment)
  inputs, learner = _model(experiment, dataset, may_train=True)
  training.train(experiment, dataset, inputs, learner)
  thresholds.tune(experiment, dataset, inputs, learner)
  report(experiment, dataset, inputs, learner, target)


def prepare(experiment: Experiment) -> None:
  """Checks and converts the data set, and says what it holds."""
  dataset, _ = _data(experiment)
  data.show(experiment, dataset)


def find_contexts(experiment: Experiment) -> None:
  """Finds the labels that lean on a context."""
  dataset, _ = _data(experiment)
  experiment.workdir.check_data(dataset)
  audit.run(experiment, dataset)


def make_confounders(experiment: Experiment) -> None:
  """Prepares the data and the confounders."""
  dataset, _ = _data(experiment)
  confounders.prepare(experiment, dataset)
  progress.say(f"confounders: {experiment.workdir.confounders}")


def import_weights(experiment: Experiment) -> None:
  """Makes a checkpoint of the weights in `init_from`."""
  dataset, _ = _data(experiment)
  inputs, learner = _model(experiment, dataset)
  training.import_weights(experiment, dataset, inputs, learner)


def evaluate(experiment: Experiment) -> None:
  """Scores the best checkpoint and reports."""
  dataset, target = _data(experiment)
  inputs, learner = _model(experiment, dataset)
  thresholds.tune(experiment, dataset, inputs, learner)
  report(experiment, dataset, inputs, learner, target)


def measure_effects(experiment: Experiment) -> None:
  """Measures which labels raise which others, and what scores lean on."""
  dataset, _ = _data(experiment)
  inputs, learner = _model(experiment, dataset)
  effects.run(experiment, dataset, inputs, learner)
  run_page.add_effects(experiment)


def _data(experiment: Experiment) -> tuple[Dataset, Dataset | None]:
  """Returns the data set, and the other one to test on if there is one."""
  dataset = data.prepare(experiment)
  return dataset, transfer.prepare(experiment, dataset)


def _model(
  experiment: Experiment, dataset: Dataset, may_train: bool = False
) -> tuple[SideInputs, Learner]:
  """Begins the run in its folder, and returns side inputs and learner."""
  config, folder = experiment.config, experiment.workdir
  with parallel.wait_for_all():
    if not folder.is_trained():
      init_from.check(config, len(dataset.labels))
  folder.check_data(dataset)
  folder.save_config(config)
  inputs = side_inputs.prepare(experiment, dataset, may_train)
  learner = model.make_learner(experiment, dataset, inputs)
  folder.save_image_shape(learner.image_shape)
  return inputs, learner


def _check_training(
  config: ml_collections.ConfigDict,
  method: Method,
  folder: Workdir,
  only_warn: bool = False,
) -> None:
  trainings = first_stage.trainings(config, method, folder)
  begins = not folder.is_trained()
  required_files.check(
    config, trainings, method if begins else None, only_warn=only_warn
  )


def _check_prepare(
  config: ml_collections.ConfigDict, method: Method, folder: Workdir
) -> None:
  _check_training(config, method, folder, only_warn=True)


def _check_audit(
  config: ml_collections.ConfigDict, method: Method, folder: Workdir
) -> None:
  del method  # the audit has one of its own
  plain = (audit.config_of(config), folder.part(audit.FOLDER))
  required_files.check(config, [plain])


def _check_confounders(
  config: ml_collections.ConfigDict, method: Method, folder: Workdir
) -> None:
  del folder
  if "confounders" not in method.NEEDS:
    raise UserError(
      f"The method {config.method.name!r} needs no confounders, so "
      "--mode=confounders has nothing to make; --mode=train trains it."
    )
  required_files.check(config, method=method)


def _check_import(
  config: ml_collections.ConfigDict, method: Method, folder: Workdir
) -> None:
  if not config.init_from:
    raise UserError(
      "--mode=import needs the file to import: set --config.init_from=FILE."
    )
  if folder.is_trained():
    raise UserError(
      f"The workdir {folder.path} holds checkpoints already; set another "
      "--workdir to import into."
    )
  _check_training(config, method, folder)


def _check_trained(
  config: ml_collections.ConfigDict, method: Method, folder: Workdir
) -> None:
  del method
  folder.check_has_checkpoint()
  required_files.check(config, prepared=True)


def _check_effects(
  config: ml_collections.ConfigDict, method: Method, folder: Workdir
) -> None:
  folder.check_has_checkpoint()
  effects.split_of(config)
  _check_trained(config, method, folder)


class Action(NamedTuple):
  """What a mode needs, and what it does.

  Attributes:
    check: raises a `UserError` before anything is written.
    do: all the rest.
  """

  check: Callable[[ml_collections.ConfigDict, Method, Workdir], None]
  do: Callable[[Experiment], None]


ACTIONS: Mapping[str, Action] = MappingProxyType(
  {
    "train": Action(_check_training, train),
    "prepare": Action(_check_prepare, prepare),
    "audit": Action(_check_audit, find_contexts),
    "confounders": Action(_check_confounders, make_confounders),
    "import": Action(_check_import, import_weights),
    "evaluate": Action(_check_trained, evaluate),
    "effects": Action(_check_effects, measure_effects),
  }
)
