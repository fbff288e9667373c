"""Tests a model on another data set, on the labels that both sets have.

The setting of the paper's Table 2: trained on all labels of one data set,
tested on all images of the other one, scored on the shared labels alone.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import ml_collections

from causal_mlr_jax.core.lookup import unknown_name
from causal_mlr_jax.data import shared_labels
from causal_mlr_jax.data.dataset import Dataset
from causal_mlr_jax.data.dataset_views import relabelled
from causal_mlr_jax.evaluation import metrics as metrics_lib
from causal_mlr_jax.stages.data import open_dataset
from causal_mlr_jax.stages.evaluation import (
  RESAMPLES,
  predictions,
  unknown_labels,
)
from causal_mlr_jax.stages.experiment import Experiment, SideInputs, timed
from causal_mlr_jax.stages.model import best_variables
from causal_mlr_jax.training import predict
from causal_mlr_jax.training.learner import Learner

PAIRS = (("coco", "nus_wide"), ("nus_wide", "coco"))


def is_set(config: ml_collections.ConfigDict) -> bool:
  """Returns whether the configuration names another data set to test on."""
  return bool(config.transfer.name)


def check(config: ml_collections.ConfigDict) -> None:
  """Checks the section `transfer` of the configuration.

  Raises:
    UserError: no shared labels of the two data sets are known.
  """
  if is_set(config):
    shared(config)


def shared(config: ml_collections.ConfigDict) -> tuple[tuple[str, str], ...]:
  """Returns the shared labels: (name trained on, name tested on).

  Raises:
    UserError: none are known of the two data sets.
  """
  names = (config.data.name, config.transfer.name)
  if names not in PAIRS:
    choices = [f"{a} to {b}" for a, b in PAIRS]
    raise unknown_name("transfer", " to ".join(names), choices)
  pairs = shared_labels.shared(config.transfer.loose)
  if names == PAIRS[0]:
    return pairs
  return tuple((nus, coco) for coco, nus in pairs)


def prepare(experiment: Experiment, dataset: Dataset) -> Dataset | None:
  """Opens the other data set, and prepares it first if needed.

  Args:
    experiment: Settings of the run.
    dataset: The data set that is trained on; the other one is read with as
      many threads.

  Returns:
    None where none is to be tested on.
  """
  section = experiment.config.transfer
  if not is_set(experiment.config):
    return None
  with timed(experiment, "data of the transfer"):
    target = open_dataset(section, section.test_splits)
    return dataclasses.replace(target, reading=dataset.reading)


def evaluate(
  experiment: Experiment,
  dataset: Dataset,
  side_inputs: SideInputs,
  learner: Learner,
  target: Dataset,
) -> dict[str, Any]:
  """Returns the metrics of the best checkpoint, by 'name:split'.

  Args:
    experiment: Settings of the run.
    dataset: The data set that was trained on.
    side_inputs: Side inputs of the method.
    learner: The model and the shapes of its state.
    target: The data set that is tested on.
  """
  config = experiment.config
  view, columns = relabelled(target, dataset.labels, shared(config))
  names = [dataset.labels[n] for n in columns]
  with timed(experiment, "evaluation of the transfer"):
    _, variables = best_variables(experiment, learner)
    step = predict.make_predict_step(
      learner.model, experiment.method, experiment.mesh
    )
    found = {}
    for split in config.transfer.test_splits:
      scores, labels = predictions(
        experiment, view, split, step, variables, side_inputs
      )
      found[f"{target.name}:{split}"] = metrics_lib.compute(
        scores[:, columns],
        labels[:, columns],
        names,
        resamples=RESAMPLES,
        valid_BN=_columns(unknown_labels(labels, side_inputs), columns),
      )
  return found


def _columns(valid: Any, columns: Any) -> Any:
  return None if valid is None else valid[:, columns]
