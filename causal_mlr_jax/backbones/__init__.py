"""Networks from images to `Features`; each is found by its file name."""

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
    UserError: There is no such backbone.
  """
  return lookup.module(__name__, name)


def make(
  section: ml_collections.ConfigDict | Mapping[str, Any],
  axis_name: str | None,
  dtype: jnp.dtype,
) -> nn.Module:
  """Builds a backbone from its section of the configuration.

  Args:
    section: `name`, `pretrained` and the fields of this and other `Backbone`s;
      an empty value means the field's default.
    axis_name: Mapped axis to synchronise batch statistics over.
    dtype: Dtype of the activations.

  Raises:
    UserError: There is no such backbone.
  """
  backbone = find(section["name"]).Backbone
  own = {field.name for field in dataclasses.fields(backbone)} - {"name"}
  fields = {
    key: value
    for key, value in dict(section).items()
    if key in own and value not in ((), "")
  }
  return backbone(axis_name=axis_name, dtype=dtype, **fields)
