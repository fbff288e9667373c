"""How a trained model's scores change if it is told that one label is present.

There are two ways to tell it: the causal head gets the feature of one label as
its only key, or a transformer over labels is given the label as known. The
scores, averaged over images, minus the scores without this information, are
model-based intervention scores. They are not identified causal effects: no
image is changed, and the model was fitted to observational images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from causal_mlr_jax.core import parallel, progress
from causal_mlr_jax.core.types import (
  Array,
  Batch,
  Features,
  Method,
  Output,
  Side,
  Tree,
)
from causal_mlr_jax.data.known_labels import POSITIVE, UNKNOWN
from causal_mlr_jax.nn.normalise import normalise
from causal_mlr_jax.training.model import Model
from causal_mlr_jax.training.step import side_of

# Sums over images of a step's outputs, as numpy arrays.
Sums = tuple[np.ndarray, ...]
Batches = Iterable[Mapping[str, np.ndarray]]


def has_single_key(model: Model) -> bool:
  """Returns whether the model has a causal head."""
  return hasattr(model.head, "single_key")


def takes_known_labels(model: Model) -> bool:
  """Returns whether the model's head accepts known labels."""
  return getattr(model.head, "use_state", False)


def single_key_effects(
  model: Model,
  variables: Tree,
  side: Side,
  batches: Batches,
  size: int,
  mesh: Mesh,
) -> np.ndarray:
  """Returns the causal head's P(Y_j | do(X_i)) - P(Y_j), [N, N].

  The first term is the mean over images that have label i, since the feature
  of an absent label describes its absence; the second is the mean over all
  images of the causal head's own probability.

  Args:
    model: Model whose head has `single_key`.
    variables: The model's variables, replicated.
    side: The method's side inputs, replicated.
    batches: Batches from `pipeline.evaluation_batches`.
    size: Number of images.
    mesh: The device mesh, from `parallel.make_mesh`.

  Returns:
    Differences; the row of a label without images is NaN.
  """
  model = model.clone(head=model.head.clone(single_key=True))

  def per_device(variables: Tree, batch: Batch, side: Side) -> tuple:
    output = model.apply(
      variables, batch["image"], side_of(side, batch), train=False
    )
    aux = cast(Output, output).aux
    given_BNN = jax.nn.sigmoid(aux["logits_single_key"])
    own_BN = jax.nn.sigmoid(aux["logits_causal"])
    mask_B = batch["mask"]
    has_BN = batch["labels"] * mask_B[:, None]
    # No matrix product, because some devices round it to fewer bits.
    given_NN = jnp.sum(has_BN[:, :, None] * given_BNN, 0)
    own_N = jnp.sum(mask_B[:, None] * own_BN, 0)
    return given_NN, has_BN.sum(0), own_N, mask_B.sum()

  given_NN, has_N, own_N, images = _summed(
    per_device, variables, side, batches, size, mesh, "effects of features"
  )
  has_N1 = has_N[:, None]
  mean_NN = np.where(has_N1 > 0, given_NN / np.maximum(has_N1, 1), np.nan)
  return mean_NN - (own_N / images)[None]


def known_label_effects(
  model: Model,
  method: Method,
  variables: Tree,
  side: Side,
  batches: Batches,
  size: int,
  mesh: Mesh,
) -> np.ndarray:
  """Returns the image mean of P(Y_j | x, X_i = 1 known) - P(Y_j | x), [N, N].

  The head runs once for each label and once with no known label.

  Args:
    model: Model whose head reads `label_state`.
    method: The method's module.
    variables: The model's variables, replicated.
    side: The method's side inputs, replicated.
    batches: Batches from `pipeline.evaluation_batches`.
    size: Number of images.
    mesh: The device mesh, from `parallel.make_mesh`.
  """
  number_N = jnp.arange(model.head.num_labels)

  def features_of(model: Model, image: Array) -> Features:
    image = normalise(image, model.mean, model.std)
    return model.backbone(image, train=False)

  def output_of(model: Model, features: Features, side: Side) -> Output:
    return model.head(features, side, train=False)

  def per_device(variables: Tree, batch: Batch, side: Side) -> tuple:
    mask_B, inputs = batch["mask"], side_of(side, batch)
    features = nn.apply(features_of, model)(variables, batch["image"])

    def summed(known: Array) -> Array:
      state_N = jnp.where(number_N == known, POSITIVE, UNKNOWN)
      state_BN = jnp.broadcast_to(state_N[None], (len(mask_B), len(state_N)))
      told = inputs | {"label_state": state_BN}
      output = nn.apply(output_of, model)(variables, features, told)
      return jnp.sum(mask_B[:, None] * method.scores(output), 0)

    nothing_and_N = jnp.arange(-1, len(number_N))
    return jax.lax.map(summed, nothing_and_N), mask_B.sum()

  sums, images = _summed(
    per_device, variables, side, batches, size, mesh, "effects of known labels"
  )
  return (sums[1:] - sums[:1]) / images


def _summed(
  per_device: Callable[..., Any],
  variables: Tree,
  side: Side,
  batches: Batches,
  size: int,
  mesh: Mesh,
  stage: str,
) -> Sums:
  """Returns the sums of a step's outputs over devices and batches, in float64.

  The last output is the number of images.
  """

  def step(variables: Tree, batch: Batch, side: Side) -> tuple:
    return jax.lax.psum(per_device(variables, batch, side), parallel.AXIS)

  whole, split = parallel.REPLICATED, parallel.SHARDED
  function = parallel.pmapped(step, mesh, (whole, split, whole), whole)
  sums: Sums | None = None
  with progress.bar(stage, size) as bar:
    for host_batch in batches:
      batch = parallel.shard(dict(host_batch), mesh)
      found = parallel.to_host(function(variables, batch, side))
      found = tuple(np.asarray(x, np.float64) for x in found)
      sums = (
        found
        if sums is None
        else tuple(a + b for a, b in zip(sums, found, strict=True))
      )
      bar.advance(int(found[-1]))
  if sums is None:
    raise AssertionError(f"{stage}: no batch")
  return sums
