"""Builds the two worlds of `context_emoji` from its tables.

The tables define the objects' home scenes and the causal effects. This module
derives the causal models of the training world and of the shifted world, the
labels and seeds of every image, and the exact facts saved with the data.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from causal_mlr_jax.core.lookup import check_name, unknown_name
from causal_mlr_jax.data.emoji import structural_causal_model

TRAIN, SHIFTED = "train", "shifted"


class Sample(NamedTuple):
  """The content of a split's images, before they are drawn.

  Attributes:
    objects: Presence of the objects, uint8 [M, objects].
    scenes: Index of the scene, int [M].
    object_seeds: `object_seed` of `Painter.render`, int64 [M].
    scene_seeds: `scene_seed` of `Painter.render`, int64 [M].
    labels: Presence of all labels, objects then scenes, uint8 [M, N].
  """

  objects: np.ndarray
  scenes: np.ndarray
  object_seeds: np.ndarray
  scene_seeds: np.ndarray
  labels: np.ndarray

  def image(self, index: int) -> tuple[np.ndarray, int, int, int]:
    """Returns the arguments of `Painter.render` for one image."""
    return (
      self.objects[index],
      int(self.object_seeds[index]),
      int(self.scenes[index]),
      int(self.scene_seeds[index]),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Worlds:
  """The training world and the shifted world.

  In the shifted world, the home scenes of each group of objects move on by a
  number of places that differs between the groups, and every occasion brings
  the companion of another pair. Scenes, edges and strengths are the same.

  Attributes:
    scenes: Names in label order; all scenes are equally probable.
    objects: For each object, in label order: its home scenes, and the
      probabilities that it is present without a cause at home and elsewhere.
    pairs: Biased label b, its companion c, and the occasion that brings both,
      or None if the scene does.
    occasion: P(occasion), and the probabilities that it brings b and c.
    edges: Strength by (cause, effect).
    shifts: Numbers of places that move in the shifted world: the home scenes of
      b, of c and of the other objects, and the companions of the occasions.
    splits: World and default number of images of each split.
    seed: Seed of the labels and of the seeds of all images.
  """

  scenes: tuple[str, ...]
  objects: Mapping[str, tuple[tuple[str, ...], float, float]]
  pairs: tuple[tuple[str, str, str | None], ...]
  occasion: tuple[float, float, float]
  edges: Mapping[tuple[str, str], float]
  shifts: tuple[int, int, int, int]
  splits: Mapping[str, tuple[str, int]]
  seed: int

  @property
  def labels(self) -> tuple[str, ...]:
    """The names of all labels: objects, then scenes."""
    return (*self.objects, *self.scenes)

  def event(self, label: str) -> dict[str, int]:
    """Returns the values of the causal model where a label is present."""
    check_name("label", label, self.labels)
    if label in self.scenes:
      return {structural_causal_model.SCENE: self.scenes.index(label)}
    return {label: 1}

  def model(self, world: str) -> structural_causal_model.Model:
    """Returns the causal model of a world, "train" or "shifted"."""
    if world not in (TRAIN, SHIFTED):
      raise unknown_name("world", world, (TRAIN, SHIFTED))
    shifted = world == SHIFTED
    direct = [(b, c, occasion) for b, c, occasion in self.pairs if occasion]
    chance, brings_b, brings_c = self.occasion
    weights = dict(self.edges)
    for k, (b, _, occasion) in enumerate(direct):
      _, c, _ = direct[(k + shifted * self.shifts[3]) % len(direct)]
      weights |= {(occasion, b): brings_b, (occasion, c): brings_c}
    return structural_causal_model.Model(
      prior=(1 / len(self.scenes),) * len(self.scenes),
      occasions={occasion: chance for _, _, occasion in direct},
      leaks={name: self._leaks(name, shifted) for name in self.objects},
      weights=weights,
    )

  def sample(self, split: str, count: int | None = None) -> Sample:
    """Draws the labels and seeds of a split's images.

    Args:
      split: One of `splits`.
      count: Number of images M, by default the split's own. The first images
        are the same for every count.
    """
    if split not in self.splits:
      raise unknown_name("split", split, self.splits)
    world, default = self.splits[split]
    count = default if count is None else count
    number = list(self.splits).index(split)
    rng = np.random.default_rng((self.seed, number, 0))
    drawn = self.model(world).sample(count, rng)
    rng = np.random.default_rng((self.seed, number, 1))
    seeds = rng.integers(2**32, size=(count, 2))
    labels = self._label_vectors(drawn.objects, drawn.scenes)
    object_seeds, scene_seeds = seeds.T
    return Sample(
      drawn.objects, drawn.scenes, object_seeds, scene_seeds, labels
    )

  def changed(
    self,
    split: str,
    index: int,
    scene: str = "",
    without: Sequence[str] = (),
  ) -> Sample:
    """Returns one image of a split with another scene, or without objects.

    Everything else is the same, since both seeds are: the places and appearance
    of the other objects, the distractors and the crop of the photograph. The
    effects of a removed object are not removed.

    Args:
      split: One of `splits`.
      index: Index of the image in the split.
      scene: New scene; '' keeps the scene.
      without: Objects to remove.

    Raises:
      UserError: There is no such split, scene or object.
    """
    if scene and scene not in self.scenes:
      raise unknown_name("scene", scene, self.scenes)
    whole = self._whole(split)
    one = Sample(*(x[index : index + 1].copy() for x in whole))
    for name in without:
      check_name("object", name, self.objects)
      one.objects[:, list(self.objects).index(name)] = 0
    if scene:
      one.scenes[:] = self.scenes.index(scene)
    return one._replace(labels=self._label_vectors(one.objects, one.scenes))

  @functools.cache  # noqa: B019 (one instance, as long as the program)
  def metadata(self) -> dict[str, Any]:
    """Returns the causal model and exact probabilities, JSON-serialisable.

    For each world in "worlds": `probability[j]` is P(Y_j = 1), and
    `probability_do[i][j]` is P(Y_j = 1 | do(Y_i = 1)), in the order of
    "labels"; do(scene label) sets the scene. "companion_given_biased" holds
    P(c | b) in the order of "biased_pairs". A row of "scene_object_table" holds
    P(object = 1) by scene when no cause is present.
    """
    return {
      "labels": list(self.labels),
      "stuff": list(self.scenes),
      "biased_pairs": [[b, c] for b, c, _ in self.pairs],
      "pair_occasions": [occasion for _, _, occasion in self.pairs],
      "causal_edges": [[i, j, w] for (i, j), w in self.edges.items()],
      "occasion_probability": self.occasion[0],
      "split_worlds": {split: row[0] for split, row in self.splits.items()},
      "worlds": {world: self._facts(world) for world in (TRAIN, SHIFTED)},
    }

  @functools.cache  # noqa: B019 (as above)
  def _whole(self, split: str) -> Sample:
    return self.sample(split)

  def _label_vectors(
    self, objects: np.ndarray, scenes: np.ndarray
  ) -> np.ndarray:
    stuff = np.eye(len(self.scenes), dtype=np.uint8)[scenes]
    return np.concatenate([objects, stuff], 1)

  def _leaks(self, name: str, shifted: bool) -> tuple[float, ...]:
    """Returns P(object = 1) by scene when no cause is present."""
    homes, at_home, elsewhere = self.objects[name]
    shift = 0
    if shifted:
      is_b = any(name == b for b, _, _ in self.pairs)
      is_c = any(name == c for _, c, _ in self.pairs)
      shift = self.shifts[0 if is_b else 1 if is_c else 2]
    numbers = {
      (self.scenes.index(home) + shift) % len(self.scenes) for home in homes
    }
    return tuple(
      at_home if s in numbers else elsewhere for s in range(len(self.scenes))
    )

  def _facts(self, world: str) -> dict[str, Any]:
    """Returns a world's tables and exact probabilities, JSON-serialisable."""
    model = self.model(world)
    events = [self.event(label) for label in self.labels]
    return {
      "scene_object_table": {k: list(v) for k, v in model.leaks.items()},
      "occasion_effects": [
        [i, j, w] for (i, j), w in model.weights.items() if i in model.occasions
      ],
      "companion_given_biased": [
        model.conditional({c: 1}, {b: 1}) for b, c, _ in self.pairs
      ],
      "probability": [model.probability(y) for y in events],
      "probability_do": [
        [model.probability(y, do) for y in events] for do in events
      ],
    }
