"""The first training of the methods that start from a trained network.

CCD measures its confounders with one, the methods of Singh et al. 2020 start
from one. It is a run of its own in the folder `first_stage` of the workdir,
resumed and reused like any other.
"""

from __future__ import annotations

import copy
from typing import NamedTuple, cast

import ml_collections

from causal_mlr_jax.core import progress
from causal_mlr_jax.core.types import Method, Tree, TwoStageMethod
from causal_mlr_jax.data.dataset import Dataset
from causal_mlr_jax.stages.experiment import Experiment, SideInputs, timed
from causal_mlr_jax.stages.model import best_variables, make_learner
from causal_mlr_jax.stages.training import train
from causal_mlr_jax.training import model as model_lib
from causal_mlr_jax.training.learner import Learner
from causal_mlr_jax.weights import init_from
from causal_mlr_jax.workdir import Workdir

FOLDER = "first_stage"


class FirstStage(NamedTuple):
  """A trained network of the first stage.

  Attributes:
    experiment: Settings of its training.
    learner: Its model.
    variables: Variables of its best checkpoint, replicated.
    step: Step of that checkpoint.
  """

  experiment: Experiment
  learner: Learner
  variables: Tree
  step: int


def config_of(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
  """Returns the configuration of the first training.

  Args:
    config: Configuration of the whole run. Its section `first_stage` holds
      what differs; the method says which other method is trained first.
  """
  method = cast(TwoStageMethod, model_lib.find_method(config.method.name))
  fields = {k: v for k, v in config.method.items() if k != "name"}
  name, fields = method.first_stage(fields)
  config = copy.deepcopy(config)
  with config.unlocked():
    config.method = ml_collections.ConfigDict({"name": name} | fields)
    config.train.update(config.first_stage)
    if config.init_from and init_from.kind_of(config) != "backbone":
      config.init_from = ""  # those are for the training that follows
  return config


def trainings(
  config: ml_collections.ConfigDict, method: Method, folder: Workdir
) -> list[tuple[ml_collections.ConfigDict, Workdir]]:
  """Returns the configuration and folder of each training of a run.

  Args:
    config: Configuration of the whole run, whose training comes first.
    method: The method's module.
    folder: The run's folder.
  """
  found = [(config, folder)]
  if hasattr(method, "first_stage"):
    found.append((config_of(config), folder.part(FOLDER)))
  return found


def prepare(experiment: Experiment, dataset: Dataset) -> FirstStage:
  """Trains the first stage unless it is there; see `train_in`."""
  with timed(experiment, "first stage"):
    return train_in(experiment, dataset, config_of(experiment.config), FOLDER)


def train_in(
  experiment: Experiment,
  dataset: Dataset,
  config: ml_collections.ConfigDict,
  name: str,
) -> FirstStage:
  """Trains in a folder of the workdir, or returns what was trained there.

  Args:
    experiment: Settings of the whole run.
    dataset: The prepared data set.
    config: Configuration of this training; its method needs no side inputs.
    name: Name of the folder.

  Raises:
    UserError: the folder holds another configuration.
    Preempted: the process was asked to stop; its state is saved.
  """
  folder = experiment.workdir.part(name)
  method = model_lib.find_method(config.method.name)
  first = Experiment(config, folder, experiment.mesh, method, {})
  side_inputs = SideInputs({}, {}, {}, lambda variables: variables, {})
  folder.check(config)
  folder.check_data(dataset)
  folder.save_config(config)
  learner = make_learner(first, dataset, side_inputs)
  progress.say(f"{name}: {config.method.name} in {folder.path}")
  train(first, dataset, side_inputs, learner)
  step, variables = best_variables(first, learner)
  return FirstStage(first, learner, variables, step)
