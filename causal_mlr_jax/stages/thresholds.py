"""Thresholds of the labels and the temperature, tuned on validation images."""

from __future__ import annotations

import jax

from causal_mlr_jax.core import atomic_files, parallel
from causal_mlr_jax.data.dataset import Dataset
from causal_mlr_jax.evaluation import calibration
from causal_mlr_jax.stages import evaluation
from causal_mlr_jax.stages.experiment import Experiment, SideInputs, timed
from causal_mlr_jax.stages.model import best_variables
from causal_mlr_jax.training import predict
from causal_mlr_jax.training.checkpoint import Checkpoints
from causal_mlr_jax.training.learner import Learner


def tune(
  experiment: Experiment,
  dataset: Dataset,
  side_inputs: SideInputs,
  learner: Learner,
) -> None:
  """Writes thresholds.json for the best checkpoint, unless it is there.

  The file holds the threshold with the largest F1 of each label, and the
  temperature that calibrates the probabilities, both of the validation split.

  Args:
    experiment: Settings of the run.
    dataset: The data set that was trained on.
    side_inputs: Side inputs of the method.
    learner: The model and the shapes of its state.
  """
  path, split = (
    experiment.workdir.thresholds,
    experiment.config.data.validation_split,
  )
  best = Checkpoints(experiment.workdir.checkpoints).best_step

  def tuned() -> bool:
    return path.exists() and atomic_files.read_json(path)["step"] == best

  if parallel.decided_by_first(tuned):
    return
  with timed(experiment, "thresholds"):
    step, variables = best_variables(experiment, learner)
    predict_step = predict.make_predict_step(
      learner.model, experiment.method, experiment.mesh
    )
    scores, labels = evaluation.predictions(
      experiment, dataset, split, predict_step, variables, side_inputs
    )
  unknown = evaluation.unknown_labels(labels, side_inputs)
  found = calibration.best_thresholds(scores, labels, unknown)
  value = {
    "split": split,
    "step": step,
    "temperature": calibration.fit_temperature(scores, labels, unknown),
    "labels": {
      name: threshold._asdict()
      for name, threshold in zip(dataset.labels, found, strict=True)
    },
  }
  with parallel.wait_for_all():
    if jax.process_index() == 0:
      atomic_files.write_json(path, value)
