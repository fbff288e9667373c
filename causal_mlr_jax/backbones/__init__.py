"""Networks from image to `Features`; found by their file's name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import ml_collections

from causal_mlr_jax.core import lookup


def find(name: str) -> ModuleType:
  """Returns the module of a backbone: `Backbone`, `MEAN` and `STD`.

  Raises:
    UserError: no such backbone.
  """
  return lookup.module(__name__, name)


def make(
  section: ml_collections.ConfigDict | Mapping[str, Any],
  axis_name: str | None,
  dtype: jnp.dtype,
) -> nn.Module:
  """Builds a backbone from its section of the configuration.

  Args:
    section: `name`, `pretrained` and the fields of this and of other
      `Backbone`s; an empty value takes the field's own default.
    axis_name: mapped axis to synchronise batch statistics over.
    dtype: of the activations.

  Raises:
    UserError: no such backbone.
  """
  backbone = find(section["name"]).Backbone
  own = {field.name for field in dataclasses.fields(backbone)} - {"name"}
  fields = {
    key: value
    for key, value in dict(section).items()
    if key in own and value not in ((), "")
  }
  return backbone(axis_name=axis_name, dtype=dtype, **fields)
