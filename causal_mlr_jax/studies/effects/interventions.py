"""What a trained model says of all labels if it is told that one is there.

Two ways of telling: the causal head is given the feature of one label as its
only key, or a transformer over labels is told that the label is known. The
answers, averaged over images, less what the model says unasked, are
model-based intervention scores. They are no identified causal effects: no
image was changed, and the model was fitted to images as they are.
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

# What a step adds up, as numpy arrays.
Sums = tuple[np.ndarray, ...]
Batches = Iterable[Mapping[str, np.ndarray]]


def has_single_key(model: Model) -> bool:
  """Says whether the model's head has a causal head to ask."""
  return hasattr(model.head, "single_key")


def takes_known_labels(model: Model) -> bool:
  """Says whether the model's head can be told that a label is known."""
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
  of an absent label describes its absence; the second the mean over all images
  of the causal head's own probability.

  Args:
    model: whose head has `single_key`.
    variables: of the model, replicated.
    side: the method's side inputs, replicated.
    batches: from `pipeline.evaluation_batches`.
    size: number of images.
    mesh: from `parallel.make_mesh`.

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
    # No matrix products, which some devices round to fewer bits.
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
  """Returns P(Y_j | x, X_i = 1 known) - P(Y_j | x), mean over images, [N, N].

  The head is run once for each label and once with no label known.

  Args:
    model: whose head reads `label_state`.
    method: its module.
    variables: of the model, replicated.
    side: the method's side inputs, replicated.
    batches: from `pipeline.evaluation_batches`.
    size: number of images.
    mesh: from `parallel.make_mesh`.
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
  """Adds up what a step returns, over devices and batches, in float64.

  The last of it counts images.
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
