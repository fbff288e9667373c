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
# Number of examples in the batch of zeros that initialises the variables.
EXAMPLES = 2


class Model(nn.Module):
  """Maps uint8 images to a method's output.

  Attributes:
    backbone: Network from images to `Features`.
    head: Network from `Features` to `Output`.
    mean: Mean of the pixels (0..255) per channel.
    std: Standard deviation of the pixels (0..255) per channel.
  """

  backbone: nn.Module
  head: nn.Module
  mean: tuple[float, float, float]
  std: tuple[float, float, float]

  def __call__(self, image: Array, side: Side, *, train: bool) -> Output:
    """Computes the output for a batch.

    Args:
      image: uint8 [B, H, W, 3].
      side: The method's side inputs.
      train: Whether to use dropout and batch statistics.
    """
    image = normalise(image, self.mean, self.std)
    features = self.backbone(image, train=train)
    return self.head(features, side, train=train)


def find_method(name: str) -> Method:
  """Returns a method's module.

  Raises:
    UserError: There is no such method.
  """
  return cast(Method, lookup.module(METHODS, name))


def training_needs(method: Method) -> tuple[str, ...]:
  """Returns the names of the side inputs that a method needs in training."""
  return method.NEEDS + getattr(method, "NEEDS_IN_TRAINING", ())


def activation_dtype(name: str) -> jnp.dtype:
  """Returns the dtype of activations; 'auto' is float32 on CPU, else bfloat16.

  Raises:
    UserError: The name is unknown.
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
    config: The configuration, see `configs/common.py`.
    num_labels: Number of labels N.

  Raises:
    UserError: The method, backbone or dtype is unknown.
  """
  dtype = activation_dtype(config.dtype)
  method = find_method(config.method.name)
  fields = {k: v for k, v in config.method.items() if k != "name"}
  if fields.get("variant") == "auto":  # `init_from` may have decided it before
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
  """Returns initial variables: 'params' and the model's other collections.

  Args:
    model: A model from `make_model`.
    side: The method's side inputs; per-example ones for `EXAMPLES` examples.
    image_shape: Shape [H, W, 3] after preprocessing.
    seed: Seed of the random initial values.
  """
  image = jnp.zeros((EXAMPLES, *image_shape), jnp.uint8)
  init = jax.jit(lambda key: model.init(key, image, side, train=False))
  return init(jax.random.key(seed))
