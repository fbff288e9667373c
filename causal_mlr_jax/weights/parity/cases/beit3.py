"""BEiT-3's image path, and the resizing of its position table."""

from __future__ import annotations

from typing import cast

import jax
import jax.numpy as jnp
import numpy as np

from causal_mlr_jax.backbones import beit3
from causal_mlr_jax.core.types import Array
from causal_mlr_jax.nn.position import resize_grid
from causal_mlr_jax.weights.mapping import convert
from causal_mlr_jax.weights.mapping.backbones import beit3 as table
from causal_mlr_jax.weights.parity.golden import Golden, Results
from causal_mlr_jax.weights.parity.heads import nhwc

UNCHECKED = ""
# Rows of the published table before the grid: two unused ones and the class
# token.
LEADING = 3


def run(golden: Golden) -> Results:
  """Returns our results by the file's keys."""
  if "table" in golden.inputs:
    return _resized(golden)
  heads = golden.meta["arguments"]["encoder_attention_heads"]
  backbone = beit3.Backbone(**table.fields(golden.state), num_heads=heads)
  image, mask = nhwc(golden.inputs["image"]), golden.inputs["mask"]
  mask_BP = jnp.asarray(mask, jnp.float32).reshape(len(image), -1)
  target = jax.eval_shape(
    lambda key: backbone.init(key, image, train=False), jax.random.key(0)
  )
  # The module creates the mask token only if a mask is given.
  variables = convert.convert("beit3", golden.state, target)

  def tokens(mask_BP: Array | None) -> tuple[Array, dict[str, Array]]:
    found = backbone.apply(variables, image, mask_BP, method="tokens")
    return cast(tuple[Array, dict[str, Array]], found)

  plain, aux = tokens(None)
  masked, _ = tokens(mask_BP)
  return {
    "output/tokens": plain,
    "output/tokens_before_final_norm": aux["before_norm"],
    "output/embedding": aux["embedding"],
    "output/layer_0": aux["layer_0"],
    "output/tokens_masked": masked,
  }


def _resized(golden: Golden) -> Results:
  given = golden.inputs["table"]
  rows = given.reshape(-1, given.shape[-1])
  side = round((len(rows) - LEADING) ** 0.5)
  found = {}
  for key in golden.group("output"):
    target = int(key.rpartition("_")[2])
    grid = resize_grid(rows[LEADING:], (side, side), (target, target))
    whole = np.concatenate([rows[:LEADING], grid])
    shape = golden.arrays[f"output/{key}"].shape
    found[f"output/{key}"] = whole.reshape(shape)
  return found
