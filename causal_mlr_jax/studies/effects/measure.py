"""Which correlations between labels are causal, and which scores need context.

Measures on a finished run how much one label raises another: from label counts,
from the method's scores, and from the interventions that the method allows. If
the data set's causal model is known, the results are compared with it. If
images can be redrawn, it also measures how much the scores change with the
context. The effects are model-based intervention scores, not identified causal
effects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import ml_collections
import numpy as np

from causal_mlr_jax.core import atomic_files, parallel, progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import Tree
from causal_mlr_jax.data import pipeline
from causal_mlr_jax.data.dataset import Dataset, parse_split
from causal_mlr_jax.data.dataset_views import view
from causal_mlr_jax.data.known_labels import known_label_state
from causal_mlr_jax.stages.evaluation import predictions
from causal_mlr_jax.stages.experiment import Experiment, SideInputs, timed
from causal_mlr_jax.stages.model import best_variables
from causal_mlr_jax.studies.effects import interventions, report
from causal_mlr_jax.studies.effects import matrices as matrices_lib
from causal_mlr_jax.studies.effects import reliance as reliance_lib
from causal_mlr_jax.studies.effects import truth as truth_lib
from causal_mlr_jax.training import predict
from causal_mlr_jax.training.learner import Learner

FOLDER = "effects"
FIRST = "first images"


def check(config: ml_collections.ConfigDict) -> None:
  """Checks the section `effects`.

  Raises:
    UserError: There is no split, or a number is outside its range.
  """
  section = config.effects
  if section.max_images < 1:
    raise UserError(
      f"effects.max_images = {section.max_images}: expected at least 1."
    )
  if section.split:
    parse_split(section.split)


def split_of(config: ml_collections.ConfigDict) -> str:
  """Returns the split to measure on, by default the first test split.

  Raises:
    UserError: No split is configured.
  """
  if config.effects.split:
    return config.effects.split
  if not config.data.test_splits:
    raise UserError(
      "effects.split is empty, and so is data.test_splits: expected a split to "
      "measure effects on. Set --config.effects.split."
    )
  return config.data.test_splits[0]


def run(
  experiment: Experiment,
  dataset: Dataset,
  side_inputs: SideInputs,
  learner: Learner,
) -> None:
  """Measures effects and reliance on context, and writes the results.

  The files are `effects.json`, `effects.npz` (the matrices) and `effects.png`
  in the workdir's folder `effects`.

  Raises:
    UserError: There is no such split.
  """
  config, split = experiment.config, split_of(experiment.config)
  dataset.source(split)
  with timed(experiment, "effects"):
    side_inputs = _nothing_known(side_inputs)
    step, variables = best_variables(experiment, learner)
    predict_step = predict.make_predict_step(
      learner.model, experiment.method, experiment.mesh
    )

    def scores_of(dataset: Dataset, split: str) -> tuple[np.ndarray, ...]:
      return predictions(
        experiment, dataset, split, predict_step, variables, side_inputs
      )

    scores_BN, labels_BN = scores_of(dataset, split)
    counted = dataset.label_matrix(config.data.train_split)
    matrices = {
      "training_labels": matrices_lib.conditional_frequencies(counted),
      "scores": matrices_lib.from_predictions(scores_BN),
      **_interventions(
        experiment, dataset, split, side_inputs, learner, variables
      ),
    }
    leaning = _reliance(config, dataset, split, scores_BN, labels_BN, scores_of)
  result = {
    "method": config.method.name,
    "step": step,
    "data": dataset.fingerprint,
    "split": split,
    "settings": config.effects.to_dict(),
    "sources": _sources(config, dataset, split, matrices),
    "reliance": leaning,
  }
  with parallel.wait_for_all():
    if jax.process_index() == 0:
      _write(experiment, dataset, matrices, result)


def _nothing_known(side_inputs: SideInputs) -> SideInputs:
  """Returns the side inputs without any known labels."""
  extras = dict(side_inputs.evaluation_examples)
  if "label_state" in extras:
    extras["label_state"] = known_label_state(0.0)
  return side_inputs._replace(evaluation_examples=extras)


def _interventions(
  experiment: Experiment,
  dataset: Dataset,
  split: str,
  side_inputs: SideInputs,
  learner: Learner,
  variables: Tree,
) -> dict[str, np.ndarray]:
  """Returns the effect matrices from the interventions the method allows."""
  config, model = experiment.config, learner.model

  def batches(dataset: Dataset, split: str) -> Any:
    return pipeline.evaluation_batches(
      dataset,
      split,
      config.data.preprocess_evaluate,
      config.evaluate.batch_size,
      side_inputs.evaluation_examples,
    )

  source = dataset.source(split)
  if interventions.has_single_key(model):
    effect_NN = interventions.single_key_effects(
      model,
      variables,
      side_inputs.shared,
      batches(dataset, split),
      len(source),
      experiment.mesh,
    )
    return {"causal_head": effect_NN}
  if interventions.takes_known_labels(model):
    size = min(config.effects.max_images, len(source))
    first = view(dataset, FIRST, source.__getitem__, size)
    effect_NN = interventions.known_label_effects(
      model,
      experiment.method,
      variables,
      side_inputs.shared,
      batches(first, FIRST),
      size,
      experiment.mesh,
    )
    return {"known_labels": effect_NN}
  return {}


def _reliance(
  config: ml_collections.ConfigDict,
  dataset: Dataset,
  split: str,
  scores_BN: np.ndarray,
  labels_BN: np.ndarray,
  scores_of: Callable[[Dataset, str], tuple[np.ndarray, ...]],
) -> dict[str, Any] | None:
  builder = reliance_lib.builder_of(config.data.name)
  if builder is None:
    progress.say(
      f"effects: the images of {dataset.name} cannot be redrawn, so the "
      "reliance of the scores on context is not measured"
    )
    return None
  return reliance_lib.measure(
    builder,
    dataset,
    split,
    scores_BN,
    labels_BN,
    config.effects.max_images,
    lambda changed, name: scores_of(changed, name)[0],
  )


def _sources(
  config: ml_collections.ConfigDict,
  dataset: Dataset,
  split: str,
  matrices: Mapping[str, np.ndarray],
) -> dict[str, Any]:
  """Returns the results for each matrix, JSON-serialisable."""
  found = {}
  for name, effect_NN in matrices.items():
    pairs = matrices_lib.strongest(effect_NN, dataset.labels)
    found[name] = {"strongest": pairs}
    counted = name == "training_labels"
    known = truth_of(dataset, config.data.train_split if counted else split)
    if known is not None:
      values = truth_lib.recovery(effect_NN, known)._asdict()
      found[name]["recovery"] = {
        key: reliance_lib.number(value) if isinstance(value, float) else value
        for key, value in values.items()
      }
  return found


def truth_of(dataset: Dataset, split: str) -> truth_lib.Truth | None:
  """Returns the truth of a split's world, or None if it is not known."""
  facts = dataset.metadata
  if "causal_edges" not in facts or "worlds" not in facts:
    return None
  world = facts["split_worlds"][parse_split(split).name]
  return truth_lib.truth(facts, world)


def _write(
  experiment: Experiment,
  dataset: Dataset,
  matrices: Mapping[str, np.ndarray],
  result: Mapping[str, Any],
) -> None:
  folder = experiment.workdir.path / FOLDER
  known = truth_of(dataset, result["split"])
  edges: list[tuple[int, int]] = []
  arrays = dict(matrices)
  if known is not None:
    edges = [(i, j) for i, j in np.argwhere(known.causal_NN).tolist()]
    arrays["truth"] = known.effect_NN
  labels = np.array(dataset.labels)
  atomic_files.write_arrays(folder / "effects.npz", labels=labels, **arrays)
  report.write(matrices, dataset.labels, edges, folder / "effects.png")
  atomic_files.write_json(folder / "effects.json", result)
  report.show(result)
  print(f"effects: {folder / 'effects.json'}")
