"""What a model saw of each label in one image, and where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from causal_mlr_jax.core.types import ATTENTION, Array, Features, Maps
from causal_mlr_jax.inference.bundle import (
  DEFAULT_THRESHOLD,
  Bundle,
  make_model,
)
from causal_mlr_jax.training import model as model_lib


class Explanation(NamedTuple):
  """What a model says of one image.

  Attributes:
    labels: Names of the N labels.
    probabilities: Probability of each label, float32 [N].
    thresholds: Probability from which each label is predicted, float32 [N].
    decisions: Whether each label reaches its threshold, bool [N].
    parts: Probabilities [N] of each part of the method, by name; for `causal`,
      of the `decoupled` and the `causal` head.
    shares: How much of the probability each part gives, [N] each; empty where
      the probability is no sum of parts.
    maps: Map of each label over the grid of the backbone's final map, float32
      [N, H, W]; position (0, 0) is the top left of `pixels`.
    about: What the maps are.
    pixels: The image that the model saw, after preprocessing, uint8 with three
      channels.
  """

  labels: tuple[str, ...]
  probabilities: np.ndarray
  thresholds: np.ndarray
  decisions: np.ndarray
  parts: Mapping[str, np.ndarray]
  shares: Mapping[str, np.ndarray]
  maps: np.ndarray
  about: Maps
  pixels: np.ndarray


# Outputs by name, and the batch that they are of, both without padding.
Outputs = Iterator[tuple[dict[str, np.ndarray], Mapping[str, np.ndarray]]]


def of_outputs(
  bundle: Bundle, thresholds_N: np.ndarray | None, outputs: Outputs
) -> Iterator[tuple[int, Explanation]]:
  """Iterates over images: their place, and what the model saw in them.

  Args:
    bundle: The trained model.
    thresholds_N: Probabilities from which a label is predicted; None if none
      were tuned.
    outputs: Outputs with `logits`, `scores` and `maps`, and the parts' own.
  """
  height, width = map_grid(bundle)
  method = model_lib.find_method(bundle.config.method.name)
  if thresholds_N is None:
    thresholds_N = np.full(len(bundle.labels), DEFAULT_THRESHOLD, np.float32)
  for found, batch in outputs:
    scores_BN, maps_BNP = found["scores"], found["maps"]
    parts = {name: found[name] for name in getattr(method, "PARTS", ())}
    shares = shares_of(bundle, parts)
    for i, place in enumerate(batch["index"]):
      yield (
        int(place),
        Explanation(
          labels=bundle.labels,
          probabilities=scores_BN[i],
          thresholds=thresholds_N,
          decisions=scores_BN[i] >= thresholds_N,
          parts={name: part[i] for name, part in parts.items()},
          shares={name: share[i] for name, share in shares.items()},
          maps=maps_BNP[i].reshape(-1, height, width),
          about=method.MAPS,
          pixels=batch["image"][i],
        ),
      )


def map_grid(bundle: Bundle) -> tuple[int, int]:
  """Returns height and width of the backbone's final map, without running it.

  Args:
    bundle: The trained model.
  """
  model = make_model(bundle)

  def final(variables: Any, image: Array) -> Array:
    def of_backbone(self: model_lib.Model, image: Array) -> Features:
      return self.backbone(image, train=False)

    features = model.apply(variables, image, method=of_backbone)
    return cast(Features, features).maps["final"]

  image = jax.ShapeDtypeStruct((1, *bundle.image_shape), jnp.float32)
  height, width = jax.eval_shape(final, bundle.variables, image).shape[1:3]
  return height, width


def shares_of(
  bundle: Bundle, parts: Mapping[str, np.ndarray]
) -> Mapping[str, np.ndarray]:
  """Returns how much of the probability each part gives, by name.

  Args:
    bundle: The trained model.
    parts: Probabilities of each part of the method.
  """
  fields = bundle.config.method
  find = getattr(model_lib.find_method(fields.name), "shares", None)
  return {} if find is None else find(parts, fields)


def between_0_and_1(map_HW: np.ndarray, about: Maps) -> np.ndarray:
  """Returns a map scaled for a picture: its largest value is 1.

  Attention is divided by its largest value, so that 0 stays 0. Of class
  activation, the smallest value becomes 0. A constant map becomes 0.

  Args:
    map_HW: Map of one label.
    about: What it is.
  """
  low = np.float32(0) if about.kind == ATTENTION else map_HW.min()
  height = map_HW.max() - low
  if map_HW.max() == map_HW.min() or not np.isfinite(height):
    return np.zeros_like(map_HW)
  return (map_HW - low) / height
