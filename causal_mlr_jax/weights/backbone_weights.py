"""Initial variables of a backbone: trained ones where a name asks for them."""

from __future__ import annotations

import pathlib

import jax
import jax.numpy as jnp
import ml_collections

from causal_mlr_jax import backbones
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import Tree
from causal_mlr_jax.weights import torchvision_imagenet, weight_sources
from causal_mlr_jax.weights.mapping import convert, published_methods

# Says that random initial values are meant.
SCRATCH = "scratch"
RANDOM = "random initial values, seed {seed}"


def is_random(section: ml_collections.ConfigDict) -> bool:
  """Says whether a backbone's section asks for random initial values."""
  return section.pretrained in ("", SCRATCH)


def source(
  section: ml_collections.ConfigDict,
  key: str = "backbone.pretrained",
  seed: int = 0,
) -> str:
  """Returns what identifies the weights of a backbone's section.

  Args:
    section: of the backbone.
    key: of the configuration, for messages.
    seed: of random initial values.

  Raises:
    UserError: the weights are not there.
  """
  if is_random(section):
    return RANDOM.format(seed=seed)
  found = weight_sources.source(_located(section, key))
  if section.pretrained in torchvision_imagenet.FILES:
    name = pathlib.Path(_located(section, key)).name
    return f"torchvision {section.pretrained} {name} {found}"
  return found


def check_frozen(section: ml_collections.ConfigDict, key: str) -> None:
  """Checks the weights of a network that is used as it is.

  Args:
    section: of the backbone.
    key: of the configuration, for messages.

  Raises:
    UserError: the weights are not there, or nobody said which.
  """
  if not section.pretrained:
    raise UserError(
      f"{key} is empty: the network whose features are clustered is used as "
      "it is, so its values must be said; expected the weights of a package, "
      "such as 'efficientnet_lite0', or a .pth or .safetensors file. "
      f"--config.{key}={SCRATCH} takes random values."
    )
  source(section, key)


def pretrained_variables(
  section: ml_collections.ConfigDict, variables: Tree
) -> Tree:
  """Returns a backbone's variables with its trained values, if it has any.

  Args:
    section: of the backbone; `pretrained` names the weights, or is empty or
      'scratch'.
    variables: of the backbone alone.

  Raises:
    UserError: the weights are not installed or do not fit.
  """
  if is_random(section):
    return variables
  state = weight_sources.pretrained(_located(section, "backbone.pretrained"))
  state = published_methods.by_backbone_keys(section.name, state)
  return convert.convert(section.name, state, variables)


def with_pretrained_backbone(
  section: ml_collections.ConfigDict, variables: Tree
) -> Tree:
  """Returns a model's variables with the trained values of its backbone.

  Args:
    section: of the backbone; as of `pretrained_variables`.
    variables: of the model.

  Raises:
    UserError: the weights are not installed or do not fit.
  """
  backbone = published_methods.part_of(variables, "backbone")
  trained = pretrained_variables(section, backbone)
  return published_methods.joined(variables, {"backbone": trained})


def frozen_variables(
  section: ml_collections.ConfigDict, image_size: int
) -> Tree:
  """Returns the variables of a network that is used as it is.

  Args:
    section: of the backbone.
    image_size: of its square input.

  Raises:
    UserError: the weights are not installed or do not fit.
  """
  backbone = backbones.make(section, None, jnp.float32)
  image = jnp.zeros((1, image_size, image_size, 3))
  init = jax.jit(lambda key: backbone.init(key, image, train=False))
  return pretrained_variables(section, init(jax.random.key(0)))


def _located(section: ml_collections.ConfigDict, key: str) -> str:
  """Returns a name of `pretrained.WHEELS` or the path of a file."""
  if section.pretrained in torchvision_imagenet.FILES:
    return str(torchvision_imagenet.find(section, key))
  return section.pretrained
