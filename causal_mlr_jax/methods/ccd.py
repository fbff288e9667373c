"""CCD: causal context debiasing (Liu et al., CVPR 2022).

A context classifier predicts from the average feature which labels the scene
suggests. The prototypes of those labels form the context, which is subtracted
from the feature to classify: logits(x - tanh(W x) · softmax(context) M).

Training has two stages. The first trains only the context classifier. The
memory M has one prototype per label: the mean feature of the label's training
images under that network. The authors' code is not known; details follow the
re-implementation CCD_MLIC. Its memory is the mean over the augmented images of
one process; ours is the mean over all training images.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.lookup import check_name
from causal_mlr_jax.core.side_inputs import need
from causal_mlr_jax.core.types import (
  ACTIVATION,
  Array,
  Features,
  Maps,
  Output,
  Side,
)
from causal_mlr_jax.nn.heads import loss_and_scores
from causal_mlr_jax.nn.heads.dense import UniformDense
from causal_mlr_jax.nn.heads.normalised_classifier import NormalisedClassifier
from causal_mlr_jax.nn.pooling import global_pool

NEEDS: tuple[str, ...] = ("label_prototypes",)
MAPS = Maps(
  ACTIVATION,
  "the logit of the linear part of the classifier at the position",
)
loss, scores = loss_and_scores.loss, loss_and_scores.scores
FUSES = ("selector", "mlp", "concat", "none")


def first_stage(fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
  """Returns the method that is trained first, and the fields of its `Head`.

  Args:
    fields: Fields of this method's `Head`.
  """
  return "ccd", fields | {"stage": 1}


class Head(nn.Module):
  """Context classifier, memory, and classifier of the debiased feature.

  In stage 2 the context classifier has no loss of its own; it is trained only
  through the context.

  Attributes:
    num_labels: Number of labels N.
    num_heads: Number A of blocks of channels that are normalised separately.
    tau: Scale of the logits.
    beta: Constant added to the norm of the classifiers' weights.
    fuse: How the context m becomes what is subtracted from the feature x:
      'selector', tanh(W x) · m; 'mlp', two layers of m; 'concat', two layers of
      [x, m]; 'none', m itself.
    stage: 1 (only the context classifier) or 2.
    dtype: Not used; apart from the activation maps everything is float32.
  """

  num_labels: int
  num_heads: int = 4
  tau: float = 32.0
  beta: float = 1 / 32
  fuse: str = "selector"
  stage: int = 2
  dtype: jnp.dtype = jnp.float32

  def __post_init__(self):
    """Checks the options.

    Raises:
      UserError: The fusion or stage is unknown.
    """
    check_name("method.fuse", self.fuse, FUSES)
    if self.stage not in (1, 2):
      raise UserError(f"method.stage = {self.stage!r}: expected 1 or 2.")
    super().__post_init__()

  @nn.compact
  def __call__(self, features: Features, side: Side, *, train: bool) -> Output:
    """Returns logits [B, N]; `aux` holds those of the context classifier.

    `attention` [B, N, P] are the class activation maps of the classifier that
    gives the logits: its linear part applied to the final map.
    """
    del train
    map_BHWC = features.maps["final"]
    batch, height, width, channels = map_BHWC.shape
    map_BPC = map_BHWC.reshape(batch, height * width, channels)
    average_BC = global_pool(map_BHWC, "gap")
    context_BN, cam_BNP = self._classifier("context")(average_BC, map_BPC)
    aux = {"context_logits": context_BN, "attention": cam_BNP}
    if self.stage == 1:
      return Output(context_BN, aux)

    memory_NC = self.variable(
      "constants",
      "memory",
      lambda: jnp.asarray(need(side, "label_prototypes"), jnp.float32),
    ).value
    context_BC = jax.nn.softmax(context_BN, axis=-1) @ memory_NC
    x_BC = global_pool(map_BHWC, "gmp")
    fused_BC = x_BC - self._confounded(x_BC, context_BC)
    logits_BN, cam_BNP = self._classifier("classifier")(fused_BC, map_BPC)
    aux |= {"fused_feature": fused_BC, "attention": cam_BNP}
    return Output(logits_BN, aux)

  def _classifier(self, name: str) -> NormalisedClassifier:
    return NormalisedClassifier(
      self.num_labels, self.num_heads, self.tau, self.beta, name=name
    )

  def _confounded(self, x_BC: Array, context_BC: Array) -> Array:
    """Returns the part of the feature that the context explains, [B, C]."""
    channels = x_BC.shape[-1]
    if self.fuse == "none":
      return context_BC
    if self.fuse == "selector":
      gate_BC = jnp.tanh(UniformDense(channels, name="selector")(x_BC))
      return gate_BC * context_BC
    y = context_BC
    if self.fuse == "concat":
      y = jnp.concatenate([x_BC, context_BC], axis=-1)
    y = nn.relu(UniformDense(channels, name="selector_0")(y))
    return UniformDense(channels, name="selector_1")(y)
