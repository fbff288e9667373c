"""The decoder equals the published implementation, number for number."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causal_mlr_jax.core.types import Features
from causal_mlr_jax.methods import q2l
from causal_mlr_jax.nn import position


def projection(state, prefix, rows=slice(None)):
  weight, bias = state[f"{prefix}weight"], state[f"{prefix}bias"]
  return {"kernel": weight[rows].T, "bias": bias[rows]}


def attention(state, prefix):
  dim = state[f"{prefix}.out_proj.bias"].shape[0]
  stacked = f"{prefix}.in_proj_"
  parts = {
    name: projection(state, stacked, slice(i * dim, (i + 1) * dim))
    for i, name in enumerate(("query", "key", "value"))
  }
  return parts | {"out": projection(state, f"{prefix}.out_proj.")}


def norm(state, prefix):
  return {"scale": state[f"{prefix}.weight"], "bias": state[f"{prefix}.bias"]}


def feed_forward(state, prefix, last):
  return {
    "linear1": projection(state, f"{prefix}.linear1."),
    "linear2": projection(state, f"{prefix}.linear2."),
    "norm": norm(state, f"{prefix}.{last}"),
  }


def params_of(state, encoders, decoders):
  decoder = {"norm": norm(state, "transformer.decoder.norm")}
  for i in range(encoders):
    prefix = f"transformer.encoder.layers.{i}"
    decoder[f"encoder_{i}"] = {
      "self_attention": attention(state, f"{prefix}.self_attn"),
      "norm1": norm(state, f"{prefix}.norm1"),
      "feed_forward": feed_forward(state, prefix, "norm2"),
    }
  for i in range(decoders):
    prefix = f"transformer.decoder.layers.{i}"
    decoder[f"decoder_{i}"] = {
      "cross_attention": attention(state, f"{prefix}.multihead_attn"),
      "norm1": norm(state, f"{prefix}.norm2"),
      "feed_forward": feed_forward(state, prefix, "norm3"),
    }
  if "input_proj.weight" in state:
    weight = state["input_proj.weight"][:, :, 0, 0]
    decoder["project"] = {"kernel": weight.T, "bias": state["input_proj.bias"]}
  return {
    "query": state["query_embed.weight"],
    "decoder": decoder,
    "classifier": {"weight": state["fc.W"][0], "bias": state["fc.b"][0]},
  }


def count(state, part):
  layers = {k.split(".")[3] for k in state if k.startswith(part)}
  return len(layers)


@pytest.mark.parametrize("name", ["q2l", "q2l_input_proj"])
def test_parity_with_the_published_code(name, golden):
  file = golden(name)
  state = {k[6:]: v for k, v in file.items() if k.startswith("state/")}
  meta = json.loads(str(file["meta"]))
  encoders = count(state, "transformer.encoder.layers.")
  decoders = count(state, "transformer.decoder.layers.")
  labels, dim = state["query_embed.weight"].shape
  heads = next(
    v for k, v in find(meta) if k in ("nheads", "nhead", "num_heads", "heads")
  )
  head = q2l.Head(
    num_labels=labels,
    embed_dim=dim,
    num_heads=int(heads),
    hidden=state["transformer.encoder.layers.0.linear1.bias"].shape[0],
    num_encoder_layers=encoders,
    num_decoder_layers=decoders,
    input_projection="input_proj.weight" in state,
  )
  params = params_of(state, encoders, decoders)
  feature = jnp.asarray(file["input/feature"].transpose(0, 2, 3, 1))

  def score(feature):
    features = Features({"final": feature}, feature.mean((1, 2)))
    output = head.apply({"params": params}, features, {}, train=False)
    return (output.logits * file["input/cotangent"]).sum(), output

  grad, output = jax.jit(jax.grad(score, has_aux=True))(feature)

  def check(got, key):
    want = file[key]
    np.testing.assert_allclose(got, want, atol=1e-4 * np.abs(want).max())

  check(output.logits, "output/logits")
  check(output.aux["label_features"], "output/decoder_out")
  last = f"transformer.decoder.layers.{decoders - 1}.multihead_attn"
  check(output.aux["attention"], f"output/attn/{last}")
  check(grad.transpose(0, 3, 1, 2), "grad/input")


def find(value):
  """Every (key, value) of nested dicts."""
  if isinstance(value, dict):
    for key, inner in value.items():
      yield key, inner
      yield from find(inner)


def test_positions_equal_the_published_table(golden):
  table = golden("q2l")["state/backbone.1.pe"][0]
  dim, height, width = table.shape
  got = position.sine_2d(height, width, dim)
  np.testing.assert_allclose(
    got, table.reshape(dim, -1).T, rtol=1e-4, atol=1e-5
  )


def test_positions_of_a_grid_that_is_not_square():
  table = position.sine_2d(3, 5, 8).reshape(3, 5, 8)
  assert (table[:, :1, :4] == table[..., :4]).all()
  assert (table[:1, :, 4:] == table[..., 4:]).all()
  assert len(np.unique(table.reshape(15, 8), axis=0)) == 15
