"""Initial variables of a backbone: trained ones where a name asks for them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import ml_collections

from causal_mlr_jax import backbones
from causal_mlr_jax.core.types import Tree
from causal_mlr_jax.weights import convert, pretrained, published


def source(section: ml_collections.ConfigDict) -> str:
  """Returns what identifies the weights of a backbone's section.

  Raises:
    UserError: the weights are not installed.
  """
  if section.pretrained:
    return pretrained.source(section.pretrained)
  return "random initial values, seed 0"


def pretrained_variables(
  section: ml_collections.ConfigDict, variables: Tree
) -> Tree:
  """Returns a backbone's variables with its trained values, if it has any.

  Args:
    section: of the backbone; `pretrained` names the weights or is empty.
    variables: of the backbone alone.

  Raises:
    UserError: the weights are not installed or do not fit.
  """
  if not section.pretrained:
    return variables
  state = pretrained.pretrained(section.pretrained)
  state = published.by_backbone_keys(section.name, state)
  return convert.convert(section.name, state, variables)


def with_pretrained_backbone(
  section: ml_collections.ConfigDict, variables: Tree
) -> Tree:
  """Returns a model's variables with the trained values of its backbone.

  Args:
    section: of the backbone; `pretrained` names the weights or is empty.
    variables: of the model.

  Raises:
    UserError: the weights are not installed or do not fit.
  """
  backbone = published.part_of(variables, "backbone")
  trained = pretrained_variables(section, backbone)
  return published.joined(variables, {"backbone": trained})


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
