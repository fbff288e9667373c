"""Spatial features of images by a frozen network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from causal_mlr_jax.core import parallel, progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import Array, Batch, Tree
from causal_mlr_jax.nn.normalise import normalise


class Positions(NamedTuple):
  """Features of sampled positions.

  Attributes:
    features: float32 [examples, S, C], S positions of each example.
    labels: float32 [examples, N].
  """

  features: np.ndarray
  labels: np.ndarray


class Network(NamedTuple):
  """A frozen network and the map that is taken from it.

  Attributes:
    backbone: the module.
    variables: its variables.
    mean: of its input's pixels 0..255, by channel.
    std: of its input's pixels 0..255, by channel.
    layer: which of its maps.
    image_size: images are resized to it, on the device.
  """

  backbone: nn.Module
  variables: Tree
  mean: tuple[float, float, float]
  std: tuple[float, float, float]
  layer: str
  image_size: int


def extract(
  network: Network,
  batches: Iterable[Mapping[str, np.ndarray]],
  size: int,
  max_positions: int,
  seed: int,
  mesh: Mesh,
) -> Positions:
  """Computes a feature map of every example and keeps positions of it.

  Args:
    network: frozen.
    batches: every example once, from `pipeline.evaluation_batches`.
    size: number of examples.
    max_positions: of all examples together; above it, the same number of
      positions of each example is drawn at random.
    seed: of the draw.
    mesh: from `parallel.make_mesh`.

  Raises:
    UserError: the network has no such layer.
  """
  function = make_extractor(network, max_positions // size, seed, mesh)
  variables = parallel.replicate(network.variables, mesh)
  features: np.ndarray | None = None
  labels: np.ndarray | None = None
  with progress.bar("features", size) as bar:
    for host_batch in batches:
      batch = parallel.shard(dict(host_batch), mesh)
      found = function(variables, batch)
      values = (found, batch["labels"], batch["mask"], batch["index"])
      found, label, mask, index = map(np.asarray, parallel.to_host(values))
      keep = mask > 0
      if features is None:
        features = np.empty((size, *found.shape[1:]), np.float32)
        labels = np.empty((size, label.shape[1]), np.float32)
      features[index[keep]] = found[keep]
      labels[index[keep]] = label[keep]
      bar.advance(int(keep.sum()))
  return Positions(features, labels)


def make_extractor(
  network: Network, max_positions: int, seed: int, mesh: Mesh
) -> Callable[[Tree, Batch], Array]:
  """Returns a compiled function (variables, batch) -> features [B, S, C].

  The positions drawn from an example depend on the seed and on its index, not
  on the batch or on the device.
  """
  layer, size = network.layer, network.image_size

  def per_device(variables: Tree, batch: Batch) -> Array:
    image = normalise(batch["image"], network.mean, network.std)
    image = jax.image.resize(image, (len(image), size, size, 3), "bilinear")
    maps = network.backbone.apply(variables, image, train=False).maps
    if layer not in maps:
      raise UserError(
        f"confounders.layer: the backbone has no map {layer!r}; it has "
        f"{', '.join(maps)}."
      )
    map_BHWC = maps[layer].astype(jnp.float32)
    batch_size, height, width, channels = map_BHWC.shape
    map_BPC = map_BHWC.reshape(batch_size, height * width, channels)
    if max_positions >= height * width:
      return map_BPC
    return jax.vmap(draw)(map_BPC, batch["index"])

  def draw(map_PC: Array, index: Array) -> Array:
    key = jax.random.fold_in(jax.random.key(seed), index)
    count = max(1, max_positions)
    chosen = jax.random.choice(key, map_PC.shape[0], (count,), replace=False)
    return map_PC[chosen]

  replicated, sharded = parallel.REPLICATED, parallel.SHARDED
  return parallel.pmapped(per_device, mesh, (replicated, sharded), sharded)
