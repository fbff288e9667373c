"""How much a method leans on context, where images can be redrawn.

A builder that draws its images has two functions besides `Builder`: `homes()`
returns the scenes where each object usually is, and `redrawn(split, image_id,
scene=, without=)` returns the record of an image over another scene or without
some objects. With them, the scores of any method can be compared for the same
objects in different contexts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from causal_mlr_jax.core import lookup
from causal_mlr_jax.data import dataset as dataset_lib
from causal_mlr_jax.data.dataset import Dataset
from causal_mlr_jax.data.dataset_views import view
from causal_mlr_jax.studies.effects import score_changes

# Function from a data set and the name of a split to the scores [images, N].
Predict = Callable[[Dataset, str], np.ndarray]
CHANGED = "changed"


class Setting(NamedTuple):
  """The inputs of every measurement.

  Attributes:
    builder: The data set's builder module.
    dataset: The prepared data set.
    split: Name of the split, or of a part of it.
    scores_BN: Scores of all original images of the split.
    labels_BN: Labels of these images.
    home_NS: True where a scene is home to a label, scenes as in `scenes`.
    scenes: Label indices of the scenes.
    max_images: Maximum number of images that are redrawn.
  """

  builder: ModuleType
  dataset: Dataset
  split: str
  scores_BN: np.ndarray
  labels_BN: np.ndarray
  home_NS: np.ndarray
  scenes: np.ndarray
  max_images: int


def builder_of(name: str) -> ModuleType | None:
  """Returns a data set's builder module if it can redraw images, or None."""
  module = lookup.module(dataset_lib.BUILDERS, name)
  return module if hasattr(module, "redrawn") else None


def measure(
  builder: ModuleType,
  dataset: Dataset,
  split: str,
  scores_BN: np.ndarray,
  labels_BN: np.ndarray,
  max_images: int,
  predict: Predict,
) -> dict[str, Any]:
  """Returns how much scores change with the context, JSON-serialisable.

  `scene_drop` of a label: over images with the object at home, the mean score
  minus that of the same objects over a scene that is home to none of them.
  `companion_drop` of a biased pair: over images with b and c, the mean score of
  b minus that without c, all else equal. `home_false_positive_rate` and
  `elsewhere_false_positive_rate`: over images without the object, in its home
  scenes and elsewhere. Each comes with its mean over labels or pairs.

  Args:
    builder: A module from `builder_of`.
    dataset: The prepared data set.
    split: Name of the split, or of a part of it.
    scores_BN: Scores of all its images.
    labels_BN: Labels of all its images.
    max_images: Maximum number of images that are redrawn, the first ones.
    predict: Function from redrawn images to their scores.
  """
  scenes = [dataset.labels.index(name) for name in dataset.metadata["stuff"]]
  homes = builder.homes()
  home_NS = np.array(
    [
      [dataset.labels[s] in homes.get(name, ()) for s in scenes]
      for name in dataset.labels
    ]
  )
  setting = Setting(
    builder,
    dataset,
    split,
    scores_BN,
    labels_BN > 0,
    home_NS,
    np.asarray(scenes),
    max_images,
  )
  return {
    "images": min(max_images, len(labels_BN)),
    "scene_drop": _scene_drop(setting, predict),
    "companion_drop": _companion_drop(setting, predict),
    **_false_positives(setting),
  }


def _home(setting: Setting, labels_BN: np.ndarray) -> np.ndarray:
  """Returns for each image whether its scene is home to a label, [B, N]."""
  scene_B = labels_BN[:, setting.scenes].argmax(1)
  return setting.home_NS[:, scene_B].T


def _scene_drop(setting: Setting, predict: Predict) -> dict[str, Any]:
  names, labels_BN = setting.dataset.labels, setting.labels_BN
  labels_BN = labels_BN[: setting.max_images]
  at_home_BN = labels_BN & _home(setting, labels_BN)
  jobs = []
  for row, at_home_N in enumerate(at_home_BN):
    foreign = np.flatnonzero(~setting.home_NS[at_home_N].any(0))
    if at_home_N.any() and foreign.size:
      # The choice depends only on the image, so it is equal for all methods.
      chosen = np.random.default_rng((20201, row)).choice(foreign)
      jobs.append((row, {"scene": names[setting.scenes[chosen]]}))
  rows = [row for row, _ in jobs]
  drop_N, count_N = score_changes.mean_drop(
    setting.scores_BN[rows],
    _changed(setting, jobs, predict),
    at_home_BN[rows],
  )
  return _summary(
    {
      names[n]: (drop_N[n], count_N[n])
      for n in np.flatnonzero(setting.home_NS.any(1))
    }
  )


def _companion_drop(setting: Setting, predict: Predict) -> dict[str, Any]:
  names, labels_BN = setting.dataset.labels, setting.labels_BN
  labels_BN = labels_BN[: setting.max_images]
  # A scene cannot be removed.
  pairs = [
    (b, c)
    for b, c in setting.dataset.biased_pairs
    if not {b, c} & set(setting.scenes.tolist())
  ]
  rows = [np.flatnonzero(labels_BN[:, b] & labels_BN[:, c]) for b, c in pairs]
  jobs = [
    (int(row), {"without": (names[c],)})
    for (_, c), chosen in zip(pairs, rows, strict=True)
    for row in chosen
  ]
  after_BN = _changed(setting, jobs, predict)
  found, start = {}, 0
  for (b, c), chosen in zip(pairs, rows, strict=True):
    after = after_BN[start : start + len(chosen), [b]]
    start += len(chosen)
    drop, count = score_changes.mean_drop(
      setting.scores_BN[chosen][:, [b]], after, np.ones(after.shape, bool)
    )
    found[f"{names[b]} <- {names[c]}"] = (drop[0], count[0])
  return _summary(found)


def _false_positives(setting: Setting) -> dict[str, Any]:
  names, labels_BN = setting.dataset.labels, setting.labels_BN
  home_BN = _home(setting, labels_BN)
  rates = score_changes.false_positive_rates(
    setting.scores_BN, labels_BN, home_BN
  )
  absent_BN = ~labels_BN
  counts = (absent_BN & home_BN).sum(0), (absent_BN & ~home_BN).sum(0)
  # A label without a home scene has nothing to compare.
  chosen = np.flatnonzero(setting.home_NS.any(1))
  return {
    f"{where}_false_positive_rate": _summary(
      {names[n]: (rate_N[n], count_N[n]) for n in chosen}
    )
    for where, rate_N, count_N in zip(
      ("home", "elsewhere"), rates, counts, strict=True
    )
  }


def _changed(
  setting: Setting,
  jobs: Sequence[tuple[int, Mapping[str, Any]]],
  predict: Predict,
) -> np.ndarray:
  """Returns the scores of redrawn images, one row per job (image, change)."""
  if not jobs:
    return np.zeros((0, setting.labels_BN.shape[1]))
  source = setting.dataset.source(setting.split)
  name = dataset_lib.parse_split(setting.split).name

  def record(job: int) -> dict[str, Any]:
    row, change = jobs[job]
    image_id = int(source[row]["image_id"])
    return setting.builder.redrawn(name, image_id, **change)

  return predict(view(setting.dataset, CHANGED, record, len(jobs)), CHANGED)


def _summary(found: Mapping[str, tuple[float, int]]) -> dict[str, Any]:
  """Returns values and counts by name, and the mean; NaN becomes None."""
  values = np.array([value for value, _ in found.values()])
  return {
    "mean": number(score_changes.mean(values)),
    "each": {
      name: {"value": number(value), "images": int(count)}
      for name, (value, count) in found.items()
    },
  }


def number(value: float) -> float | None:
  """Returns a number for JSON; NaN becomes None."""
  return None if np.isnan(value) else float(value)
