"""The page of a run: what it needs of the data is saved, then it is written."""

from __future__ import annotations

import datetime
import pathlib
import shlex
import sys
from typing import Any

import jax
import numpy as np

from causal_mlr_jax.core import atomic_files, parallel, progress
from causal_mlr_jax.data.dataset import Dataset
from causal_mlr_jax.evaluation.metrics import THRESHOLD
from causal_mlr_jax.reports.page import run_files, write_page
from causal_mlr_jax.reports.page.choose_images import Scored
from causal_mlr_jax.stages.evaluation import Predictions
from causal_mlr_jax.stages.experiment import Experiment, SideInputs, timed
from causal_mlr_jax.stages.model import best_variables
from causal_mlr_jax.stages.report import page_confounders, page_images
from causal_mlr_jax.stages.report.page_images import Shown
from causal_mlr_jax.training.learner import Learner
from causal_mlr_jax.workdir import Workdir

# In scores' place of labels that the method was told.
UNKNOWN = -1


def write(
  experiment: Experiment,
  dataset: Dataset,
  side_inputs: SideInputs,
  learner: Learner,
  predictions: Predictions | None,
) -> None:
  """Saves what the page needs of the data, and writes the page.

  All processes must call this; the first one writes.

  Args:
    experiment: Settings of the run, whose report.json is written.
    dataset: The data set that was trained on.
    side_inputs: Side inputs of the method.
    learner: The model.
    predictions: Predictions of the split whose images are shown; None for no
      images.
  """
  with timed(experiment, "page"):
    _, variables = best_variables(experiment, learner)
    first = jax.process_index() == 0
    if jax.process_count() > 1:
      # Arrays that all processes share are of no use to one of them alone.
      variables, shared = jax.tree.map(
        lambda x: np.asarray(x.addressable_data(0)),
        (variables, side_inputs.shared),
      )
      side_inputs = side_inputs._replace(shared=shared)
    with parallel.wait_for_all():
      if first:
        found = _data(
          experiment, dataset, side_inputs, learner, variables, predictions
        )
        folder = experiment.workdir.report
        atomic_files.write_json(folder / run_files.PAGE_DATA, found)
        progress.say(f"page: {write_page.write(experiment.workdir.path)}")


def rewrite(workdir: str) -> None:
  """Writes the page of a run from its folder alone.

  Args:
    workdir: Folder of the run.

  Raises:
    UserError: The folder holds no report, or a file is damaged.
  """
  progress.say(f"page: {write_page.write(Workdir(workdir).path)}")


def add_effects(experiment: Experiment) -> None:
  """Writes the page again where there is one, now with measured effects.

  All processes must call this; the first one writes.
  """
  folder = experiment.workdir
  with parallel.wait_for_all():
    if jax.process_index() == 0 and (folder.report / run_files.PAGE).exists():
      rewrite(str(folder.path))


def command() -> str:
  """Returns the command that the process was started with."""
  program = pathlib.Path(sys.argv[0]).name
  if program == "main.py":
    return shlex.join(["python", "-m", "causal_mlr_jax.main", *sys.argv[1:]])
  return shlex.join([program, *sys.argv[1:]])


def _data(
  experiment: Experiment,
  dataset: Dataset,
  side_inputs: SideInputs,
  learner: Learner,
  variables: Any,
  predictions: Predictions | None,
) -> dict[str, Any]:
  now = datetime.datetime.now(datetime.UTC)
  found: dict[str, Any] = {
    "command": command(),
    "written": now.strftime("%Y-%m-%d %H:%M UTC"),
    "attention": [],
    "errors": [],
    "pairs": [],
  }
  if "confounders" in experiment.method.NEEDS:
    found["confounders"] = page_confounders.cards(experiment, dataset)
  if predictions is None:
    return found
  shown = Shown(
    dataset,
    predictions.split,
    experiment.config.data.preprocess_evaluate,
    _scored(experiment, dataset, predictions),
  )
  return found | {
    "split": shown.split,
    "calibration": page_images.calibration_of(shown),
    "pairs": page_images.pairs(shown),
    "errors": page_images.errors(shown),
    "attention": page_images.attention(
      experiment, shown, side_inputs, learner, variables
    ),
  }


def _scored(
  experiment: Experiment, dataset: Dataset, predictions: Predictions
) -> Scored:
  path = experiment.workdir.thresholds
  thresholds = np.full(len(dataset.labels), THRESHOLD)
  if path.exists():
    known = atomic_files.read_json(path)["labels"]
    thresholds = [known[name]["threshold"] for name in dataset.labels]
  labels = predictions.labels_BN
  if predictions.valid_BN is not None:
    labels = np.where(predictions.valid_BN, labels, UNKNOWN)
  return Scored(
    predictions.scores_BN, labels, np.asarray(thresholds, np.float32)
  )
