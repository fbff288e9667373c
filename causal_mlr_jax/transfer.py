"""Tests a model on another data set, on the labels that both have.

The setting of the paper's Table 2: trained on all labels of one data set,
tested on all images of the other one, scored on the shared labels alone.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import ml_collections

from causal_mlr_jax import stages
from causal_mlr_jax.context import Context, timed
from causal_mlr_jax.core.lookup import unknown_name
from causal_mlr_jax.data import shared_labels
from causal_mlr_jax.data.dataset import Dataset
from causal_mlr_jax.data.transfer import relabelled
from causal_mlr_jax.evaluation import metrics as metrics_lib
from causal_mlr_jax.training import predict, setup

PAIRS = (("coco", "nus_wide"), ("nus_wide", "coco"))


def is_set(config: ml_collections.ConfigDict) -> bool:
  """Says whether another data set is to be tested on."""
  return bool(config.transfer.name)


def check(config: ml_collections.ConfigDict) -> None:
  """Checks the section `transfer` before anything is computed.

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


def prepare(context: Context, dataset: Dataset) -> Dataset | None:
  """Prepares the other data set unless it is there, and opens it.

  Args:
    context: of the run.
    dataset: trained on; the other one is read with the same threads.

  Returns:
    None where none is to be tested on.
  """
  section = context.config.transfer
  if not is_set(context.config):
    return None
  with timed(context, "data of the transfer"):
    target = stages.open_data(section, section.test_splits)
    return dataclasses.replace(target, reading=dataset.reading)


def evaluate(
  context: Context,
  dataset: Dataset,
  target: Dataset,
  inputs: stages.SideInputs,
  parts: setup.Parts,
) -> dict[str, Any]:
  """Returns the metrics of the best checkpoint, by 'name:split'.

  Args:
    context: of the run.
    dataset: trained on.
    target: tested on.
    inputs: of the method.
    parts: the model.
  """
  config = context.config
  view, columns = relabelled(target, dataset.labels, shared(config))
  names = [dataset.labels[n] for n in columns]
  with timed(context, "evaluation of the transfer"):
    _, variables = stages.best_variables(context, parts)
    step = predict.make_predict_step(parts.model, context.method, context.mesh)
    found = {}
    for split in config.transfer.test_splits:
      scores, labels = stages.predictions(
        context, view, split, step, variables, inputs
      )
      found[f"{target.name}:{split}"] = metrics_lib.compute(
        scores[:, columns],
        labels[:, columns],
        names,
        resamples=stages.RESAMPLES,
        valid_BN=_columns(stages.unknown_labels(labels, inputs), columns),
      )
  return found


def _columns(valid: Any, columns: Any) -> Any:
  return None if valid is None else valid[:, columns]
