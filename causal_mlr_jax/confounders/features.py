"""Spatial features of images by a frozen network.

The maps themselves are never kept: of each one stays a sample of its positions,
their mean, or the share of them that lies nearest to each centre. A process
keeps what comes of its own block of the images.
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
from causal_mlr_jax.core.types import Array, Batch, Features, Tree
from causal_mlr_jax.nn.normalise import normalise

# On one device: a map [B, P, C], the batch and further arrays to [B, ...].
Reduce = Callable[..., Array]


class Positions(NamedTuple):
  """Features of positions, of this process's block of the examples.

  Every process has as many rows E, so that the devices share them evenly; what
  is too many is at the end and has mask 0.

  Attributes:
    features: float32 [E, S, C], S positions of each example, or their mean.
    labels: float32 [E, N].
    mask: float32 [E].
  """

  features: np.ndarray
  labels: np.ndarray
  mask: np.ndarray


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


def map_size(network: Network) -> int:
  """Returns how many positions P the map of a network has; computes nothing.

  Args:
    network: its variables are not read.

  Raises:
    UserError: the network has no such layer.
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
  """Computes the map of every example and keeps positions of it.

  Args:
    network: frozen.
    batches: every example once, from `pipeline.evaluation_batches`.
    size: number of examples, of all processes together.
    count: S, how many positions of each map are drawn at random, which depends
      on the seed and on the example's index alone; None keeps their mean
      instead, S = 1.
    seed: of the draw.
    mesh: from `parallel.make_mesh`.
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
  """Returns each example's share of positions by nearest centre, [E, K].

  All positions of a map count, and only a batch of maps exists at a time.

  Args:
    network: frozen.
    batches: every example once, from `pipeline.evaluation_batches`.
    size: number of examples, of all processes together.
    centres_KC: the centres.
    mesh: from `parallel.make_mesh`.

  Returns:
    Rows of this process's block of the examples, as of `Positions`.
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
  """Collects what `reduce` makes of each example's map; `arrays` go with it."""
  function = _mapped(network, reduce, len(arrays), mesh)
  variables, *placed = parallel.replicate((network.variables, *arrays), mesh)
  kept: Positions | None = None
  done = 0
  with progress.bar(stage, size) as bar:
    for host_batch in batches:
      batch = parallel.shard(dict(host_batch), mesh)
      found = parallel.own_part(function(variables, batch, *placed), mesh)
      if kept is None:
        kept = _empty(size, found, host_batch["labels"])
      # In order, and padding comes last.
      own = int(host_batch["mask"].sum())
      kept.features[done : done + own] = found[:own]
      kept.labels[done : done + own] = host_batch["labels"][:own]
      kept.mask[done : done + own] = 1
      done += own
      bar.advance(int(parallel.to_host(batch["mask"]).sum()))
  assert kept is not None  # every process has a batch
  return kept


def _empty(size: int, found: np.ndarray, labels: np.ndarray) -> Positions:
  """Returns room for a process's block, from what its first batch gave."""
  batches = -(-size // (len(found) * jax.process_count()))
  rows = min(batches * len(found), size)
  return Positions(
    np.zeros((rows, *found.shape[1:]), np.float32),
    np.zeros((rows, *labels.shape[1:]), np.float32),
    np.zeros(rows, np.float32),
  )


def _mapped(
  network: Network, reduce: Reduce, arrays: int, mesh: Mesh
) -> Callable[..., Array]:
  """Returns a compiled function (variables, batch, *arrays) -> [B, ...]."""
  size = network.image_size

  def per_device(variables: Tree, batch: Batch, *arrays: Array) -> Array:
    image = normalise(batch["image"], network.mean, network.std)
    image = jax.image.resize(image, (len(image), size, size, 3), "bilinear")
    found = network.backbone.apply(variables, image, train=False)
    map_BHWC = cast(Features, found).maps[network.layer].astype(jnp.float32)
    batch_size, _, _, channels = map_BHWC.shape
    map_BPC = map_BHWC.reshape(batch_size, -1, channels)
    return reduce(map_BPC, batch, *arrays)

  whole, split = parallel.REPLICATED, parallel.SHARDED
  specs = (whole, split, *[whole] * arrays)
  return parallel.pmapped(per_device, mesh, specs, split)
