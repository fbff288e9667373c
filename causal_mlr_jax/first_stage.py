"""The first training of methods that start from a trained network.

CCD measures its confounders with one, the methods of Singh et al. 2020 start
from one. It is a run of its own in the folder `first_stage` of the workdir,
resumed and reused like any other.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import ml_collections

from causal_mlr_jax import stages
from causal_mlr_jax.context import Context, timed
from causal_mlr_jax.core import progress
from causal_mlr_jax.core.types import Tree
from causal_mlr_jax.data.dataset import Dataset
from causal_mlr_jax.training import model as model_lib
from causal_mlr_jax.training import setup
from causal_mlr_jax.weights import init_from

FOLDER = "first_stage"


class FirstStage(NamedTuple):
  """A trained network of the first stage.

  Attributes:
    context: of its run.
    parts: its modules.
    variables: of its best checkpoint, replicated.
    step: of that checkpoint.
  """

  context: Context
  parts: setup.Parts
  variables: Tree
  step: int


def config_of(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
  """Returns the configuration of the first training.

  Args:
    config: of the whole run; `first_stage` holds what differs, and the
      method says which one is trained first.
  """
  method = model_lib.find_method(config.method.name)
  fields = {k: v for k, v in config.method.items() if k != "name"}
  name, fields = method.first_stage(fields)
  config = copy.deepcopy(config)
  with config.unlocked():
    config.method = ml_collections.ConfigDict({"name": name} | fields)
    config.train.update(config.first_stage)
    if config.init_from and init_from.kind_of(config) != "backbone":
      config.init_from = ""  # those are for the training that follows
  return config


def prepare(context: Context, dataset: Dataset) -> FirstStage:
  """Trains the first stage unless it is there; see `train_in`."""
  with timed(context, "first stage"):
    return train_in(context, dataset, config_of(context.config), FOLDER)


def train_in(
  context: Context,
  dataset: Dataset,
  config: ml_collections.ConfigDict,
  name: str,
) -> FirstStage:
  """Trains in a folder of the workdir, unless it is done, and returns it.

  Args:
    context: of the whole run.
    dataset: prepared.
    config: of this training; its method needs no side inputs.
    name: of the folder.

  Raises:
    UserError: the folder holds another configuration.
    Preempted: the process was asked to stop; its state is saved.
  """
  folder = context.workdir.part(name)
  method = model_lib.find_method(config.method.name)
  first = Context(config, folder, context.mesh, method, {})
  inputs = stages.SideInputs({}, {}, {}, lambda variables: variables, {})
  folder.check(config)
  folder.check_data(dataset)
  folder.save_config(config)
  parts = stages.make_parts(first, dataset, inputs)
  progress.say(f"{name}: {config.method.name} in {folder.path}")
  stages.train(first, dataset, inputs, parts)
  step, variables = stages.best_variables(first, parts)
  return FirstStage(first, parts, variables, step)
