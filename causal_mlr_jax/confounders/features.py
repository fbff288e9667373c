"""Spatial features of images from a frozen network.

The feature maps themselves are not kept, but only a sample of their positions,
the mean of the positions, or the share of positions nearest to each centre. A
process keeps the results for its own block of the images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from causal_mlr_jax.confounders.feature_rows import default_chunk_rows
from causal_mlr_jax.confounders.kmeans_passes import nearest_centre
from causal_mlr_jax.core import parallel, progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import AnyArray, Array, Batch, Features, Tree
from causal_mlr_jax.nn.normalise import normalise

# Function on one device from (map [B, P, C], batch, *arrays) to [B, ...].
Reduce = Callable[..., Array]


class Positions(NamedTuple):
  """Features of the positions of this process's block of the examples.

  Every process has the same number of rows E, so that the devices share them
  evenly; surplus rows are at the end and have mask 0.

  Attributes:
    features: S positions of each example, or their mean, float32 [E, S, C].
    labels: Labels of each example, float32 [E, N].
    mask: 1 for an example, 0 for a surplus row, float32 [E].
  """

  features: np.ndarray
  labels: np.ndarray
  mask: np.ndarray


class Network(NamedTuple):
  """A frozen network and the feature map that is read from it.

  Attributes:
    backbone: The backbone's module.
    variables: The backbone's variables.
    mean: Mean of the input pixels (0..255) per channel.
    std: Standard deviation of the input pixels (0..255) per channel.
    layer: Name of the feature map.
    image_size: Side that images are resized to on the device, in pixels.
  """

  backbone: nn.Module
  variables: Tree
  mean: tuple[float, float, float]
  std: tuple[float, float, float]
  layer: str
  image_size: int


def map_size(network: Network) -> int:
  """Returns the number of positions P of a network's map, without computing it.

  Args:
    network: The network; its variables are not read.

  Raises:
    UserError: The network has no such layer.
  """
  backbone, layer, size = network.backbone, network.layer, network.image_size

  def map_of(key: Array, image: Array) -> Array:
    maps = backbone.init_with_output(key, image, train=False)[0].maps
    if layer not in maps:
      raise UserError(
        f"confounders.layer: the backbone has no map {layer!r}; it has "
        f"{', '.join(maps)}."
      )
    return maps[layer]

  image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
  shape = jax.eval_shape(map_of, jax.random.key(0), image).shape
  _, height, width, _ = shape
  return height * width


def extract(
  network: Network,
  batches: Iterable[Mapping[str, np.ndarray]],
  size: int,
  count: int | None,
  seed: int,
  mesh: Mesh,
) -> Positions:
  """Computes the map of every example and keeps some of its positions.

  Args:
    network: The frozen network.
    batches: Every example once, from `pipeline.evaluation_batches`.
    size: Total number of examples in all processes.
    count: Number S of positions to draw at random from each map; the draw
      depends only on the seed and the example's index. None keeps the mean of
      all positions instead (S = 1).
    seed: Seed of the draw.
    mesh: The device mesh, from `parallel.make_mesh`.
  """

  def draw(map_PC: Array, index: Array) -> Array:
    assert count is not None  # of those that `reduce` draws from
    key = jax.random.fold_in(jax.random.key(seed), index)
    chosen = jax.random.choice(key, len(map_PC), (count,), replace=False)
    return map_PC[chosen]

  def reduce(map_BPC: Array, batch: Batch) -> Array:
    if count is None:
      return map_BPC.mean(1, keepdims=True)
    if count >= map_BPC.shape[1]:
      return map_BPC
    return jax.vmap(draw)(map_BPC, batch["index"])

  return _of_each(network, batches, size, reduce, mesh, "features")


def shares(
  network: Network,
  batches: Iterable[Mapping[str, np.ndarray]],
  size: int,
  centres_KC: np.ndarray,
  mesh: Mesh,
) -> np.ndarray:
  """Returns the share of each example's positions nearest to each centre.

  All positions of a map count; only one batch of maps exists at a time.

  Args:
    network: The frozen network.
    batches: Every example once, from `pipeline.evaluation_batches`.
    size: Total number of examples in all processes.
    centres_KC: The centres.
    mesh: The device mesh, from `parallel.make_mesh`.

  Returns:
    Shares [E, K] for this process's block of the examples, see `Positions`.
  """
  clusters, channels = centres_KC.shape
  chunk_rows = default_chunk_rows(mesh, channels, clusters)

  def reduce(map_BPC: Array, batch: Batch, centres_KC: Array) -> Array:
    del batch
    rows_MC = map_BPC.reshape(-1, channels)
    index_M = nearest_centre(rows_MC, centres_KC, chunk_rows=chunk_rows)
    index_BP = index_M.reshape(map_BPC.shape[:2])
    return jax.nn.one_hot(index_BP, clusters).mean(1)

  found = _of_each(network, batches, size, reduce, mesh, "shares", centres_KC)
  return found.features


def _of_each(
  network: Network,
  batches: Iterable[Mapping[str, np.ndarray]],
  size: int,
  reduce: Reduce,
  mesh: Mesh,
  stage: str,
  *arrays: np.ndarray,
) -> Positions:
  """Collects the results of `reduce(map, batch, *arrays)` for all examples."""
  function = _mapped(network, reduce, len(arrays), mesh)
  variables, *placed = parallel.replicate((network.variables, *arrays), mesh)
  kept: Positions | None = None
  done = 0
  with progress.bar(stage, size) as bar:
    for host_batch in batches:
      batch = parallel.shard(dict(host_batch), mesh)
      found = parallel.local_part(function(variables, batch, *placed), mesh)
      if kept is None:
        kept = _empty(size, found, host_batch["labels"])
      # Examples are in order, and padding comes last.
      own = int(host_batch["mask"].sum())
      kept.features[done : done + own] = found[:own]
      kept.labels[done : done + own] = host_batch["labels"][:own]
      kept.mask[done : done + own] = 1
      done += own
      bar.advance(int(parallel.to_host(batch["mask"]).sum()))
  assert kept is not None  # every process has a batch
  return kept


def _empty(size: int, found: np.ndarray, labels: np.ndarray) -> Positions:
  """Allocates arrays for a process's block, shaped like its first batch."""
  batches = -(-size // (len(found) * jax.process_count()))
  rows = min(batches * len(found), size)
  return Positions(
    np.zeros((rows, *found.shape[1:]), np.float32),
    np.zeros((rows, *labels.shape[1:]), np.float32),
    np.zeros(rows, np.float32),
  )


def feature_map(
  network: Network, variables: Tree, image_BHWC: AnyArray
) -> Array:
  """Returns the network's map of images, float32 [B, H, W, C].

  Args:
    network: The network; its own variables are not read.
    variables: The backbone's variables.
    image_BHWC: Preprocessed images, uint8 RGB.
  """
  size = network.image_size
  image = normalise(jnp.asarray(image_BHWC), network.mean, network.std)
  image = jax.image.resize(image, (len(image), size, size, 3), "bilinear")
  found = network.backbone.apply(variables, image, train=False)
  return cast(Features, found).maps[network.layer].astype(jnp.float32)


def _mapped(
  network: Network, reduce: Reduce, arrays: int, mesh: Mesh
) -> Callable[..., Array]:
  """Returns a compiled function (variables, batch, *arrays) -> [B, ...]."""

  def per_device(variables: Tree, batch: Batch, *arrays: Array) -> Array:
    map_BHWC = feature_map(network, variables, batch["image"])
    batch_size, _, _, channels = map_BHWC.shape
    map_BPC = map_BHWC.reshape(batch_size, -1, channels)
    return reduce(map_BPC, batch, *arrays)

  whole, split = parallel.REPLICATED, parallel.SHARDED
  specs = (whole, split, *[whole] * arrays)
  return parallel.pmapped(per_device, mesh, specs, split)
