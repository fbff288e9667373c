"""Keys of BEiT-3 as published, and of timm's conversion of it.

Published: every layer has an image copy `A` and a text copy `B`; the position
table has two unused rows before those of the class token and the patches. timm:
only the image copy, with query, key and value stacked, and without unused rows,
final norm and mask token.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import Tree
from causal_mlr_jax.nn.position import resize_grid

# The final norm may be unused, so that a backbone without it reads these files.
IGNORED = (
  r".*\.B\..*|(beit3\.)?text_embed\..*|(beit3\.)?encoder\.layer_norm\.A\..*"
  r"|\w*head\w*(\..*)?|(fc_norm|pooler)\..*|logit_scale"
)
UNUSED_ROWS = 2
CLS_TOKEN, MASK_TOKEN = "params/cls_token", "params/mask_token"
POSITION, PATCH_CONV = "params/position", "params/patch_conv/kernel"
TOP = {
  "vision_embed.cls_token": CLS_TOKEN,
  "cls_token": CLS_TOKEN,
  "vision_embed.mask_token": MASK_TOKEN,
  "encoder.embed_positions.A.weight": POSITION,
  "pos_embed": POSITION,
  "vision_embed.proj.weight": PATCH_CONV,
  "patch_embed.proj.weight": PATCH_CONV,
  "vision_embed.proj.bias": "params/patch_conv/bias",
  "patch_embed.proj.bias": "params/patch_conv/bias",
  "encoder.layer_norm.A.weight": "params/norm/scale",
  "encoder.layer_norm.A.bias": "params/norm/bias",
}
LAYER = re.compile(
  r"(?P<kind>encoder\.layers|blocks)\.(?P<number>\d+)\.(?P<part>.+)"
  r"\.(?P<leaf>weight|bias)"
)
PARTS = {
  "encoder.layers": {
    "self_attn_layer_norm.A": "norm1",
    "self_attn.q_proj.A": "query",
    "self_attn.k_proj.A": "key",
    "self_attn.v_proj.A": "value",
    "self_attn.inner_attn_ln.A": "attention_norm",
    "self_attn.out_proj.A": "out",
    "final_layer_norm.A": "norm2",  # despite its name, before the feed-forward
    "ffn.A.fc1": "linear1",
    "ffn.A.ffn_layernorm": "hidden_norm",
    "ffn.A.fc2": "linear2",
  },
  "blocks": {
    "norm1": "norm1",
    "attn.query": "query",  # this and the next two are the parts of attn.qkv
    "attn.key": "key",
    "attn.value": "value",
    "attn.norm": "attention_norm",
    "attn.proj": "out",
    "norm2": "norm2",
    "mlp.fc1": "linear1",
    "mlp.norm": "hidden_norm",
    "mlp.fc2": "linear2",
  },
}
STACKED = re.compile(r"(blocks\.\d+\.attn\.)qkv(\.weight|\.bias)")


def variable(key: str) -> str | None:
  """Returns the path of our variable for a torch key, or None."""
  key = key.removeprefix("beit3.")
  match = LAYER.fullmatch(key)
  if match is None:
    return TOP.get(key)
  part = PARTS[match["kind"]].get(match["part"])
  if part is None:
    return None
  weight = "scale" if part.endswith(("norm", "norm1", "norm2")) else "kernel"
  leaf = weight if match["leaf"] == "weight" else "bias"
  return f"params/layers_{match['number']}/{part}/{leaf}"


def prepare(
  state: Mapping[str, np.ndarray], target: Tree
) -> dict[str, np.ndarray]:
  """Returns a state dict whose arrays fit a backbone's variables.

  Args:
    state: Arrays by torch key, published or timm's.
    target: Variables of the backbone, or their shapes.

  Raises:
    UserError: See `for_tokens`.
  """
  position = target["params"].get("position")
  return for_tokens(state, None if position is None else position.shape[0])


def for_tokens(
  state: Mapping[str, np.ndarray], target_tokens: int | None
) -> dict[str, np.ndarray]:
  """Returns a state dict with an array for each of our variables.

  Stacked projections are split; the unused rows of the position table are
  dropped and its grid is resized; a missing mask token becomes zeros, its
  initial value.

  Args:
    state: Arrays by torch key, published or timm's.
    target_tokens: Number of tokens 1 + P of the backbone; None keeps that of
      the file.

  Raises:
    UserError: The position table has the wrong shape, or a grid to resize is
      not square.
  """
  out: dict[str, np.ndarray] = {}
  for key, value in state.items():
    stacked = STACKED.fullmatch(key)
    # An array that cannot be a stack stays, and is reported as unused.
    if stacked and np.ndim(value) and len(value) % 3 == 0:
      parts = np.split(np.asarray(value), 3)
      for name, part in zip(("query", "key", "value"), parts, strict=True):
        out[f"{stacked[1]}{name}{stacked[2]}"] = part
    elif variable(key) == POSITION:
      out[key] = _position(key, np.asarray(value), target_tokens)
    else:
      out[key] = value
  found = {variable(key): value for key, value in out.items()}
  if CLS_TOKEN in found and MASK_TOKEN not in found:
    out["vision_embed.mask_token"] = np.zeros_like(found[CLS_TOKEN])
  return out


def fields(state: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Returns the fields of the `Backbone` that the arrays determine.

  These are `embed_dim`, `num_layers`, `hidden`, `patch_size` and `final_norm`.
  The arrays do not determine the number of heads.

  Args:
    state: Arrays by torch key, published or timm's.

  Raises:
    UserError: The arrays are not those of a BEiT-3.
  """
  shapes = {variable(key): np.shape(value) for key, value in state.items()}
  linear1 = shapes.get("params/layers_0/linear1/kernel", ())
  patch_conv = shapes.get(PATCH_CONV, ())
  if len(linear1) != 2 or len(patch_conv) != 4:
    raise UserError(
      "These are not the weights of a BEiT-3: expected the keys of the "
      f"published files or of timm's, got {sorted(state)[:5]}. Use another "
      "file, or remove the prefix of the keys."
    )
  layers = {path for path in shapes if re.match(r".*/norm1/scale", str(path))}
  return {
    "embed_dim": patch_conv[0],
    "num_layers": len(layers),
    "hidden": linear1[0],
    "patch_size": patch_conv[-1],
    "final_norm": "params/norm/scale" in shapes,
  }


def _position(
  key: str, table: np.ndarray, target_tokens: int | None
) -> np.ndarray:
  """Returns the rows [1 + P, D] of the class token and of the patches."""
  if key == "pos_embed" and table.ndim == 3 and table.shape[0] == 1:
    table = table[0]
  elif table.ndim == 2:
    table = table[UNUSED_ROWS:]
  if table.ndim != 2 or len(table) < 2:
    raise UserError(
      f"{key} has the shape {table.shape}: expected a table of positions, "
      "one row per token. Fetch the file again."
    )
  patches = len(table) - 1
  if target_tokens is None or target_tokens - 1 == patches:
    return table
  side, target = math.isqrt(patches), math.isqrt(target_tokens - 1)
  if side**2 != patches or target**2 != target_tokens - 1:
    raise UserError(
      f"{key} has positions for {patches} patches, the model for "
      f"{target_tokens - 1}: only square grids are resized. Give the model "
      "square images."
    )
  grid = resize_grid(table[1:], (side, side), (target, target))
  return np.concatenate([table[:1], grid])
