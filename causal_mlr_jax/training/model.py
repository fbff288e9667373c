"""The model: normalisation, backbone and a method's head."""

from __future__ import annotations

from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections

from causal_mlr_jax import backbones
from causal_mlr_jax.core import lookup, parallel
from causal_mlr_jax.core.types import Array, Method, Output, Side, Tree
from causal_mlr_jax.nn.normalise import normalise

METHODS = "causal_mlr_jax.methods"
# In the batch of zeros that the variables are initialised on.
EXAMPLES = 2


class Model(nn.Module):
  """From uint8 images to a method's output.

  Attributes:
    backbone: image to `Features`.
    head: `Features` to `Output`.
    mean: of the pixels 0..255, by channel.
    std: of the pixels 0..255, by channel.
  """

  backbone: nn.Module
  head: nn.Module
  mean: tuple[float, float, float]
  std: tuple[float, float, float]

  def __call__(self, image: Array, side: Side, *, train: bool) -> Output:
    """Computes the output for a batch.

    Args:
      image: uint8 [B, H, W, 3].
      side: the method's side inputs.
      train: dropout and batch statistics on.
    """
    image = normalise(image, self.mean, self.std)
    features = self.backbone(image, train=train)
    return self.head(features, side, train=train)


def find_method(name: str) -> Method:
  """Returns a method's module.

  Raises:
    UserError: no such method.
  """
  return cast(Method, lookup.module(METHODS, name))


def training_needs(method: Method) -> tuple[str, ...]:
  """Returns the side inputs that a method needs in training."""
  return method.NEEDS + getattr(method, "NEEDS_IN_TRAINING", ())


def activation_dtype(name: str) -> jnp.dtype:
  """Returns the dtype of activations; 'auto' is bfloat16 off the CPU.

  Raises:
    UserError: another name.
  """
  choices = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
  if name == "auto":
    name = "float32" if jax.default_backend() == "cpu" else "bfloat16"
  if name not in choices:
    raise lookup.unknown_name("dtype", name, (*choices, "auto"))
  return jnp.dtype(choices[name])


def make_model(config: ml_collections.ConfigDict, num_labels: int) -> Model:
  """Builds the model of a configuration.

  Args:
    config: see `configs/common.py`.
    num_labels: N.

  Raises:
    UserError: an unknown method, backbone or dtype.
  """
  dtype = activation_dtype(config.dtype)
  method = find_method(config.method.name)
  fields = {k: v for k, v in config.method.items() if k != "name"}
  if fields.get("variant") == "auto":  # weights may decide it, see `init_from`
    fields["variant"] = "corrected"
  backbone_module = backbones.find(config.backbone.name)
  return Model(
    backbone=backbones.make(config.backbone, parallel.AXIS, dtype),
    head=method.Head(num_labels=num_labels, dtype=dtype, **fields),
    mean=backbone_module.MEAN,
    std=backbone_module.STD,
  )


def init_variables(
  model: Model, side: Side, image_shape: tuple[int, int, int], seed: int
) -> Tree:
  """Returns initial variables: 'params' and what else the model keeps.

  Args:
    model: from `make_model`.
    side: the method's side inputs, those of examples for `EXAMPLES` of them.
    image_shape: [H, W, 3] after preprocessing.
    seed: of the random initial values.
  """
  image = jnp.zeros((EXAMPLES, *image_shape), jnp.uint8)
  init = jax.jit(lambda key: model.init(key, image, side, train=False))
  return init(jax.random.key(seed))
