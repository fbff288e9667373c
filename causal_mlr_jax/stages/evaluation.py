"""The evaluation of a run: its best checkpoint on the test splits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from causal_mlr_jax.core.types import Tree
from causal_mlr_jax.data import pipeline
from causal_mlr_jax.data.dataset import Dataset
from causal_mlr_jax.data.known_labels import UNKNOWN
from causal_mlr_jax.evaluation import metrics as metrics_lib
from causal_mlr_jax.stages.experiment import Experiment, SideInputs, timed
from causal_mlr_jax.stages.model import best_variables
from causal_mlr_jax.training import predict
from causal_mlr_jax.training.learner import Learner

# Resamples of the bootstrap behind the report's standard errors.
RESAMPLES = 100


class Predictions(NamedTuple):
  """Predictions of a split.

  Attributes:
    split: Name of the split.
    scores_BN: Probabilities.
    labels_BN: Labels.
    valid_BN: See `unknown_labels`.
  """

  split: str
  scores_BN: np.ndarray
  labels_BN: np.ndarray
  valid_BN: np.ndarray | None


class Evaluation(NamedTuple):
  """The results of a checkpoint.

  Attributes:
    step: Step of the checkpoint.
    metrics: Metrics by split.
    first: Predictions of the first test split; None where there is none.
  """

  step: int
  metrics: dict[str, Any]
  first: Predictions | None


def evaluate(
  experiment: Experiment,
  dataset: Dataset,
  side_inputs: SideInputs,
  learner: Learner,
) -> Evaluation:
  """Scores the best checkpoint on the test splits."""
  metrics, first = {}, None
  with timed(experiment, "evaluation"):
    step, variables = best_variables(experiment, learner)
    predict_step = predict.make_predict_step(
      learner.model, experiment.method, experiment.mesh
    )
    for split in experiment.config.data.test_splits:
      scores, labels = predictions(
        experiment, dataset, split, predict_step, variables, side_inputs
      )
      valid = unknown_labels(labels, side_inputs)
      found = Predictions(split, scores, labels, valid)
      metrics[split] = _metrics(dataset, found, RESAMPLES)
      first = first or found
  return Evaluation(step, metrics, first)


def score(
  experiment: Experiment,
  dataset: Dataset,
  split: str,
  predict_step: Callable[..., Any],
  variables: Tree,
  side_inputs: SideInputs,
) -> dict[str, Any]:
  """Returns all metrics of a split, see `evaluation.metrics.compute`."""
  scores, labels = predictions(
    experiment, dataset, split, predict_step, variables, side_inputs
  )
  valid = unknown_labels(labels, side_inputs)
  return _metrics(dataset, Predictions(split, scores, labels, valid), 0)


def _metrics(
  dataset: Dataset, found: Predictions, resamples: int
) -> dict[str, Any]:
  return metrics_lib.compute(
    found.scores_BN,
    found.labels_BN,
    dataset.labels,
    dataset.biased_pairs,
    resamples,
    found.valid_BN,
  )


def predictions(
  experiment: Experiment,
  dataset: Dataset,
  split: str,
  predict_step: Callable[..., Any],
  variables: Tree,
  side_inputs: SideInputs,
) -> tuple[np.ndarray, np.ndarray]:
  """Returns scores and labels of a split, both [images, N]."""
  config = experiment.config
  return predict.predict_split(
    predict_step,
    variables,
    side_inputs.shared,
    pipeline.evaluation_batches(
      dataset,
      split,
      config.data.preprocess_evaluate,
      config.evaluate.batch_size,
      side_inputs.evaluation_examples,
    ),
    len(dataset.source(split)),
    experiment.mesh,
    f"evaluating {split}",
  )


def unknown_labels(
  labels: np.ndarray, side_inputs: SideInputs
) -> np.ndarray | None:
  """Returns a mask of the labels [images, N] that the method had to predict.

  A label that the method was told is no prediction, and no metric counts it.
  None stands for all labels.
  """
  draw = side_inputs.evaluation_examples.get("label_state")
  if draw is None:
    return None
  rng = np.random.default_rng(0)  # unused: the image's index decides
  states = [draw(i, row, rng) for i, row in enumerate(labels)]
  return np.stack(states) == UNKNOWN
