"""Which places of which images lie nearest to each confounder."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from causal_mlr_jax.confounders.features import Network, feature_map
from causal_mlr_jax.core.types import Array, Tree


class Nearest(NamedTuple):
  """The position of each image that is nearest to each confounder.

  Attributes:
    distance_BK: Euclidean distance of its feature from the centre.
    place_BK: The position, counted along the rows of the map.
    grid: Rows and columns of the map.
  """

  distance_BK: np.ndarray
  place_BK: np.ndarray
  grid: tuple[int, int]


def nearest(
  network: Network, batches: Iterable[np.ndarray], centres_KC: np.ndarray
) -> Nearest:
  """Returns the nearest position of each image to each centre.

  It runs on one device of this process, whatever other processes do.

  Args:
    network: The frozen network that the confounders were made with.
    batches: Preprocessed images, uint8 [B, H, W, 3] with the same B.
    centres_KC: The centres.
  """

  @jax.jit
  def find(variables: Tree, image_BHWC: Array, centres_KC: Array) -> tuple:
    map_BHWC = feature_map(network, variables, image_BHWC)
    batch, height, width, channels = map_BHWC.shape
    map_BPC = map_BHWC.reshape(batch, height * width, channels)
    square_BP = jnp.square(map_BPC).sum(-1)
    square_K = jnp.square(centres_KC).sum(-1)
    inner_BPK = jnp.einsum("bpc,kc->bpk", map_BPC, centres_KC)
    far_BPK = square_BP[..., None] - 2 * inner_BPK + square_K[None, None]
    grid = jnp.asarray((height, width))
    return far_BPK.min(1), far_BPK.argmin(1), grid

  found = [
    jax.device_get(find(network.variables, images, centres_KC))
    for images in batches
  ]
  square, place = (np.concatenate([each[i] for each in found]) for i in (0, 1))
  height, width = found[0][2].tolist()
  return Nearest(np.sqrt(np.maximum(square, 0)), place, (height, width))
