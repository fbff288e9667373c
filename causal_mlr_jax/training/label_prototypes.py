"""The mean feature of each label under a trained network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jax.sharding import Mesh

from causal_mlr_jax import backbones
from causal_mlr_jax.core import parallel, progress
from causal_mlr_jax.core.types import Array, Batch, Tree
from causal_mlr_jax.nn.normalise import normalise
from causal_mlr_jax.training.model import Model


def label_prototypes(
  model: Model,
  variables: Tree,
  batches: Iterable[Mapping[str, np.ndarray]],
  size: int,
  mesh: Mesh,
) -> np.ndarray:
  """Returns the mean pooled feature of the images of each label, [N, C].

  They are the confounder memory of CCD (Liu et al., CVPR 2022). A label without
  images has the zero vector.

  Args:
    model: Model of the first stage.
    variables: Its variables, replicated.
    batches: Every training example once, from `pipeline.evaluation_batches`.
    size: Number of examples.
    mesh: The device mesh, from `parallel.make_mesh`.
  """

  def pooled(model: Model, image: Array) -> Array:
    image = normalise(image, model.mean, model.std)
    return model.backbone(image, train=False).pooled

  def per_device(variables: Tree, batch: Batch) -> Array:
    return nn.apply(pooled, model)(variables, batch["image"])

  replicated, sharded = parallel.REPLICATED, parallel.SHARDED
  function = parallel.pmapped(per_device, mesh, (replicated, sharded), sharded)
  sums, counts = 0.0, 0.0
  with progress.bar("label prototypes", size) as bar:
    for host_batch in batches:
      batch = parallel.shard(dict(host_batch), mesh)
      values = (function(variables, batch), batch["labels"], batch["mask"])
      feature, labels, mask = map(np.asarray, parallel.to_host(values))
      weights = (labels * mask[:, None]).astype(np.float64)
      sums = sums + weights.T @ feature.astype(np.float64)
      counts = counts + weights.sum(0)
      bar.advance(int(mask.sum()))
  return (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)


def no_prototypes(
  section: ml_collections.ConfigDict, num_labels: int
) -> np.ndarray:
  """Returns zeros [N, C] in place of prototypes that a checkpoint holds.

  Args:
    section: The backbone's section of the configuration.
    num_labels: Number of labels N.
  """
  backbone = backbones.make(section, None, jnp.float32)
  image = jnp.zeros((1, 64, 64, 3))
  features, _ = jax.eval_shape(
    lambda key: backbone.init_with_output(key, image, train=False),
    jax.random.key(0),
  )
  return np.zeros((num_labels, features.pooled.shape[-1]), np.float32)
