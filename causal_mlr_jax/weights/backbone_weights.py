"""Initial variables of a backbone: trained or random ones."""

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

# Value of `pretrained` that asks explicitly for random initial values.
SCRATCH = "scratch"
RANDOM = "random initial values, seed {seed}"


def is_random(section: ml_collections.ConfigDict) -> bool:
  """Returns whether a backbone's section asks for random initial values."""
  return section.pretrained in ("", SCRATCH)


def source(
  section: ml_collections.ConfigDict,
  key: str = "backbone.pretrained",
  seed: int = 0,
) -> str:
  """Returns an identifier of the weights of a backbone's section.

  Args:
    section: Section of the backbone.
    key: Configuration key for messages.
    seed: Seed of random initial values.

  Raises:
    UserError: The weights are missing.
  """
  if is_random(section):
    return RANDOM.format(seed=seed)
  found = weight_sources.source(_located(section, key))
  if section.pretrained in torchvision_imagenet.FILES:
    name = pathlib.Path(_located(section, key)).name
    return f"torchvision {section.pretrained} {name} {found}"
  return found


def check_frozen(section: ml_collections.ConfigDict, key: str) -> None:
  """Checks the weights of a network that is used without training.

  Args:
    section: Section of the backbone.
    key: Configuration key for messages.

  Raises:
    UserError: The weights are missing, or none are specified.
  """
  if not section.pretrained:
    raise UserError(
      f"{key} is empty: the network whose features are clustered is not "
      "trained, so its weights must be specified. Expected the weights of a "
      "package, such as 'efficientnet_lite0', or a .pth or .safetensors file. "
      f"--config.{key}={SCRATCH} uses random values."
    )
  source(section, key)


def pretrained_variables(
  section: ml_collections.ConfigDict, variables: Tree
) -> Tree:
  """Returns a backbone's variables with its trained values, if it has any.

  Args:
    section: Section of the backbone; its `pretrained` names the weights, or is
      empty or 'scratch'.
    variables: Variables of the backbone.

  Raises:
    UserError: The weights are not installed or do not fit.
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
    section: Section of the backbone, see `pretrained_variables`.
    variables: Variables of the model.

  Raises:
    UserError: The weights are not installed or do not fit.
  """
  backbone = published_methods.part_of(variables, "backbone")
  trained = pretrained_variables(section, backbone)
  return published_methods.joined(variables, {"backbone": trained})


def frozen_variables(
  section: ml_collections.ConfigDict, image_size: int
) -> Tree:
  """Returns the variables of a network that is used without training.

  Args:
    section: Section of the backbone.
    image_size: Side of its square input, in pixels.

  Raises:
    UserError: The weights are not installed or do not fit.
  """
  backbone = backbones.make(section, None, jnp.float32)
  image = jnp.zeros((1, image_size, image_size, 3))
  init = jax.jit(lambda key: backbone.init(key, image, train=False))
  return pretrained_variables(section, init(jax.random.key(0)))


def _located(section: ml_collections.ConfigDict, key: str) -> str:
  """Returns a name in `weight_sources.WHEELS`, or the path of a file."""
  if section.pretrained in torchvision_imagenet.FILES:
    return str(torchvision_imagenet.find(section, key))
  return section.pretrained
