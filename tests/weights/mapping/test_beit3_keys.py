"""The layouts of BEiT-3's weights lead to the same network."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causal_mlr_jax.backbones import beit3
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.nn.position import resize_grid
from causal_mlr_jax.weights.mapping import convert
from causal_mlr_jax.weights.mapping.backbones import beit3 as table

POSITION = "beit3.encoder.embed_positions.A.weight"
TIMM_PARTS = {
  "self_attn_layer_norm.A": "norm1",
  "self_attn.inner_attn_ln.A": "attn.norm",
  "self_attn.out_proj.A": "attn.proj",
  "final_layer_norm.A": "norm2",
  "ffn.A.fc1": "mlp.fc1",
  "ffn.A.ffn_layernorm": "mlp.norm",
  "ffn.A.fc2": "mlp.fc2",
}


@pytest.fixture
def arrays(golden):
  return golden("beit3")


@pytest.fixture
def state(arrays):
  return {k[6:]: v for k, v in arrays.items() if k.startswith("state/")}


@pytest.fixture
def image(arrays):
  return jnp.asarray(arrays["input/image"].transpose(0, 2, 3, 1))


def in_timm_layout(state):
  """Renames as timm's converter does; the final norm goes."""
  top = "beit3.vision_embed."
  out = {
    "cls_token": state[f"{top}cls_token"],
    "pos_embed": state[POSITION][None, 2:],
    "patch_embed.proj.weight": state[f"{top}proj.weight"],
    "patch_embed.proj.bias": state[f"{top}proj.bias"],
    "fc_norm.weight": np.ones(3),
    "head.weight": np.ones(3),
  }
  for i in range(table.fields(state)["num_layers"]):
    old = f"beit3.encoder.layers.{i}"
    for leaf in ("weight", "bias"):
      for theirs, timm in TIMM_PARTS.items():
        out[f"blocks.{i}.{timm}.{leaf}"] = state[f"{old}.{theirs}.{leaf}"]
      stack = [state[f"{old}.self_attn.{p}_proj.A.{leaf}"] for p in "qkv"]
      out[f"blocks.{i}.attn.qkv.{leaf}"] = np.concatenate(stack)
  return out


def load(arrays, state, image):
  """Returns the backbone that a state tells, and its variables."""
  arguments = json.loads(str(arrays["meta"]))["arguments"]
  backbone = beit3.Backbone(
    num_heads=arguments["encoder_attention_heads"], **table.fields(state)
  )
  shapes = jax.eval_shape(
    lambda: backbone.init(jax.random.key(0), image, train=False)
  )
  return backbone, convert.convert("beit3", state, shapes)


def test_timm_layout_gives_the_tokens_before_the_final_norm(
  arrays, state, image
):
  timm = in_timm_layout(state)
  backbone, variables = load(arrays, timm, image)
  assert not backbone.final_norm
  tokens, _ = backbone.apply(variables, image, method="tokens")
  np.testing.assert_allclose(
    tokens, arrays["output/tokens_before_final_norm"], rtol=0, atol=1e-4
  )
  assert (variables["params"]["mask_token"] == 0).all()


def test_the_prefix_may_be_missing(arrays, state, image):
  bare = {key.removeprefix("beit3."): value for key, value in state.items()}
  _, expected = load(arrays, state, image)
  _, found = load(arrays, bare, image)
  jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_every_array_of_the_image_path_is_used_and_no_other(state):
  used = {key for key in state if table.variable(key)}
  ours = {key for key in state if ".B." not in key and "text_embed" not in key}
  assert used == ours
  paths = [table.variable(key) for key in used]
  assert len(set(paths)) == len(paths)


def test_heads_may_be_left_over_and_others_may_not(arrays, state, image):
  for key in ("mlm_head.weight", "head.0.bias", "fc_norm.bias", "logit_scale"):
    state[key] = np.ones(3)
  load(arrays, state, image)
  state["beit3.encoder.layers.0.gamma.A.weight"] = np.ones(3)
  del state["beit3.encoder.layers.1.ffn.A.fc2.bias"]
  with pytest.raises(UserError) as error:
    load(arrays, state, image)
  assert "unused: beit3.encoder.layers.0.gamma.A.weight" in str(error.value)
  assert "missing: params/layers_1/linear2/bias" in str(error.value)
  assert "fc_norm" not in str(error.value)


def test_the_fields_are_those_of_the_notes(arrays, state):
  arguments = json.loads(str(arrays["meta"]))["arguments"]
  expected = {
    "embed_dim": arguments["encoder_embed_dim"],
    "num_layers": arguments["encoder_layers"],
    "hidden": arguments["encoder_ffn_embed_dim"],
    "patch_size": arguments["patch_size"],
    "final_norm": True,
  }
  assert table.fields(state) == expected
  timm = expected | {"final_norm": False}
  assert table.fields(in_timm_layout(state)) == timm
  with pytest.raises(UserError, match=r"not the weights of a BEiT-3.*conv1"):
    table.fields({"conv1.weight": np.ones((2, 3, 4, 4))})


def test_positions_lose_two_rows_and_fit_the_grid(state):
  whole = state[POSITION]
  kept = table.for_tokens(state, None)[POSITION]
  np.testing.assert_array_equal(kept, whole[2:])
  side = round(len(whole[3:]) ** 0.5)
  resized = table.for_tokens(state, 1 + 5 * 5)[POSITION]
  np.testing.assert_array_equal(resized[0], whole[2])
  expected = resize_grid(whole[3:], (side, side), (5, 5))
  np.testing.assert_array_equal(resized[1:], expected)
  timm = table.for_tokens(in_timm_layout(state), 1 + 5 * 5)["pos_embed"]
  np.testing.assert_array_equal(timm, resized)
  with pytest.raises(UserError, match="square"):
    table.for_tokens(state, 1 + 2 * 5)
  with pytest.raises(UserError, match="expected a table of positions"):
    table.for_tokens({POSITION: np.ones(4)}, None)


def test_a_stack_that_is_none_is_reported(arrays, state, image):
  timm = in_timm_layout(state)
  timm["blocks.0.attn.qkv.bias"] = np.ones(4)
  with pytest.raises(UserError) as error:
    load(arrays, timm, image)
  assert "unused: blocks.0.attn.qkv.bias (4,)" in str(error.value)
  assert "missing: params/layers_0/key/bias" in str(error.value)
