"""Images of a split for the page of a run: pairs, attention, errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from causal_mlr_jax.core.types import Array, Output, Tree
from causal_mlr_jax.data import pipeline
from causal_mlr_jax.data.dataset import Dataset
from causal_mlr_jax.evaluation import calibration
from causal_mlr_jax.reports.page import choose_images, thumbnails
from causal_mlr_jax.reports.page.choose_images import Scored
from causal_mlr_jax.stages.experiment import Experiment, SideInputs
from causal_mlr_jax.training.learner import Learner
from causal_mlr_jax.training.step import side_of

# Bounds of the page's size: 20 pairs with 4 images of both kinds, 12 errors,
# and 6 images with attention for 4 labels, of about 7 kB as text.
PAIRS, OF_A_PAIR, ERRORS, ATTENTION, LABELS = 20, 4, 12, 6, 4


class Shown(NamedTuple):
  """A split whose images are shown.

  Attributes:
    dataset: The data set.
    split: Name of the split.
    preprocess: Preprocessing of an image.
    found: Predictions of the split.
  """

  dataset: Dataset
  split: str
  preprocess: str
  found: Scored

  def example(
    self, index: int, inputs: Mapping[str, pipeline.ExampleInput] | None = None
  ) -> dict[str, Any]:
    """Returns an example as the model was given it."""
    return pipeline.example(
      self.dataset, self.split, self.preprocess, index, inputs
    )

  def name(self, index: int) -> str:
    """Returns the name of an image."""
    return name_of(self.dataset, self.split, index)


def name_of(dataset: Dataset, split: str, index: int) -> str:
  """Returns the name of an image in its data set, or its place in a split."""
  record = dataset.source(split)[index]
  known = record.get("image_id")
  if isinstance(known, bytes):
    known = known.decode(errors="replace")
  if isinstance(known, str) and known:
    return known
  return f"{split} {index}"


def pairs(shown: Shown) -> list[dict[str, Any]]:
  """Returns images of each biased pair that were decided wrongly."""
  names = shown.dataset.labels
  return [
    {
      "label": names[b],
      "context": names[c],
      "missed": [
        _wrong(shown, image, b)
        for image in choose_images.missed_exclusives(
          shown.found, b, c, OF_A_PAIR
        )
      ],
      "false": [
        _wrong(shown, image, b)
        for image in choose_images.false_on_context(
          shown.found, b, c, OF_A_PAIR
        )
      ],
    }
    for b, c in shown.dataset.biased_pairs[:PAIRS]
  ]


def errors(shown: Shown) -> list[dict[str, Any]]:
  """Returns the wrong decisions that the model was surest of."""
  chosen = choose_images.confident_errors(shown.found, ERRORS)
  return [
    _wrong(shown, error.image, error.label)
    | {"label": shown.dataset.labels[error.label]}
    for error in chosen
  ]


def _wrong(shown: Shown, image: int, label: int) -> dict[str, Any]:
  found = shown.found
  score = found.scores_BN[image, label]
  true = np.flatnonzero(found.labels_BN[image] == 1)
  return {
    "name": shown.name(image),
    "image": thumbnails.encode(shown.example(image)["image"]),
    "score": float(score),
    "threshold": float(found.thresholds_N[label]),
    "wrongly": bool(score >= found.thresholds_N[label]),
    "true": [shown.dataset.labels[n] for n in true],
  }


def calibration_of(shown: Shown) -> dict[str, float]:
  """Returns the expected calibration error of each label, in percent."""
  scores_BN, labels_BN = shown.found.scores_BN, shown.found.labels_BN
  known_BN = (labels_BN == 0) | (labels_BN == 1)
  found = {}
  for n, name in enumerate(shown.dataset.labels):
    columns = (scores_BN[:, n], labels_BN[:, n], known_BN[:, n])
    error = calibration.expected_calibration_error(*columns)
    if np.isfinite(error):
      found[name] = 100 * error
  return found


def attention(
  experiment: Experiment,
  shown: Shown,
  side_inputs: SideInputs,
  learner: Learner,
  variables: Tree,
) -> list[dict[str, Any]]:
  """Returns images with the attention of their most probable labels.

  Args:
    experiment: Settings of the run.
    shown: The split.
    side_inputs: Side inputs of the method, on the host.
    learner: The model.
    variables: The model's variables, on the host.

  Returns:
    Empty where the method gives no map over the image.
  """
  chosen = choose_images.varied(shown.found, ATTENTION, LABELS)
  if not chosen:
    return []
  inputs = side_inputs.evaluation_examples
  examples = [shown.example(image, inputs) for image in chosen]
  # Always as many, so that no other batch is compiled.
  padded = [*examples, *[examples[-1]] * (ATTENTION - len(examples))]
  batch = {key: np.stack([each[key] for each in padded]) for key in padded[0]}

  def look(variables: Tree, batch: Any, side: Any) -> Array | None:
    side = side_of(side, batch)
    output = learner.model.apply(variables, batch["image"], side, train=False)
    assert isinstance(output, Output)
    return output.aux.get("attention")

  found = jax.jit(look)(variables, batch, side_inputs.shared)
  if found is None:
    return []
  maps_BNP = np.asarray(jax.device_get(found), np.float32)
  grid = thumbnails.grid_of(maps_BNP.shape[-1], *batch["image"].shape[1:3])
  if grid is None:
    return []
  return [
    _with_maps(shown, image, example["image"], maps_NP, grid)
    for image, example, maps_NP in zip(chosen, examples, maps_BNP, strict=False)
  ]


def _with_maps(
  shown: Shown,
  image: int,
  pixels_HWC: np.ndarray,
  maps_NP: np.ndarray,
  grid: Sequence[int],
) -> dict[str, Any]:
  found = shown.found
  scores_N = np.where(found.predicted()[image], found.scores_BN[image], 0)
  order = np.argsort(-scores_N, kind="stable")[:LABELS]
  return {
    "name": shown.name(image),
    "image": thumbnails.encode(pixels_HWC),
    "labels": [
      {
        "name": shown.dataset.labels[n],
        "score": float(scores_N[n]),
        "true": bool(found.labels_BN[image, n] == 1),
        "image": thumbnails.encode(
          thumbnails.with_map(pixels_HWC, maps_NP[n].reshape(*grid))
        ),
      }
      for n in order
      if scores_N[n] > 0
    ],
  }
