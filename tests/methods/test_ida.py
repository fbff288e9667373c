"""IDA: what its variants do to the tokens, and its symmetries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import Features
from causal_mlr_jax.methods import ida
from tests import heads

LABELS, HEADS, SIZE = 5, 3, 4


@pytest.fixture
def maps(rng):
  return rng.normal(size=(2, 3, 2, HEADS * SIZE)).astype(np.float32)


def make(maps, **fields):
  fields = {"num_heads": HEADS, "heavy": False, "num_layers": 1} | fields
  head = ida.Head(LABELS, hidden=6, **fields)
  return head, heads.init(head, jax.random.key(0), features_of(maps), {})


def features_of(maps):
  maps = jnp.asarray(maps)
  return Features({"final": maps}, maps.mean((1, 2)))


def run(head, variables, maps):
  return heads.apply(head, variables, features_of(maps), {})


def test_a_token_is_a_heads_feature_and_published_mixes_them(maps):
  head, variables = make(maps)
  tokens = run(head, variables, maps).aux["tokens"]
  assert tokens.shape == (2 * LABELS, HEADS, SIZE)
  published, _ = make(maps, variant="published")
  mixed = run(published, variables, maps).aux["tokens"]
  # Features [E, A] read row by row as [A, E].
  want = tokens.swapaxes(1, 2).reshape(tokens.shape)
  np.testing.assert_array_equal(mixed, want)
  # Changing the last head's channels changes the last token alone.
  maps[..., -SIZE:] += 1 + maps[..., :SIZE]
  changed = run(head, variables, maps).aux["tokens"] != tokens
  assert changed[:, -1].all()
  assert not changed[:, :-1].any()
  changed = run(published, variables, maps).aux["tokens"] != mixed
  assert changed.any(axis=(0, 2)).all()


def test_with_one_head_the_variants_agree(maps):
  head, variables = make(maps, num_heads=1)
  want = run(head, variables, maps).logits
  for fields in ({"variant": "published"}, {"head_norm": "last"}):
    other, _ = make(maps, num_heads=1, **fields)
    np.testing.assert_array_equal(run(other, variables, maps).logits, want)


@pytest.mark.parametrize("variant", ["corrected", "published"])
def test_only_corrected_heads_can_change_places(maps, variant):
  head, variables = make(maps, variant=variant)
  want = run(head, variables, maps).logits
  order = [1, 2, 0]
  moved = maps.reshape(2, 3, 2, HEADS, SIZE)[..., order, :].reshape(maps.shape)
  params = dict(variables["params"])
  for new, old in enumerate(order):
    params[f"head_{new}"] = variables["params"][f"head_{old}"]
  got = run(head, {"params": params}, moved).logits
  close = np.allclose(got, want, atol=1e-5)
  assert close == (variant == "corrected")


@pytest.mark.parametrize("heavy", [False, True])
def test_positions_can_change_places(maps, heavy):
  head, variables = make(maps, heavy=heavy)
  output = run(head, variables, maps)
  order = [3, 1, 5, 0, 2, 4]
  moved = maps.reshape(2, 6, -1)[:, order].reshape(maps.shape)
  again = run(head, variables, moved)
  np.testing.assert_allclose(again.logits, output.logits, atol=1e-5)
  attention = output.aux["attention"]
  np.testing.assert_allclose(attention.sum(-1), 1, rtol=1e-5)
  np.testing.assert_allclose(
    again.aux["attention"], attention[..., order], atol=1e-6
  )


def test_the_last_heads_norm_scales_the_others(maps):
  head, variables = make(maps)
  last, _ = make(maps, head_norm="last")
  params = {k: dict(v) for k, v in variables.items()}["params"]
  params["head_0"] = 10 * params["head_0"]
  got, want = (run(h, {"params": params}, maps).logits for h in (last, head))
  assert jnp.abs(got - want).max() > 0.1
  unit = {
    k: v / jnp.linalg.norm(v, axis=-1, keepdims=True)
    if k.startswith("head_")
    else v
    for k, v in params.items()
  }
  got, want = (run(h, {"params": unit}, maps).logits for h in (last, head))
  np.testing.assert_allclose(got, want, atol=1e-5)


def test_light_has_no_layer_but_attention(maps):
  _, light = make(maps, num_layers=2)
  assert set(light["params"]["layer_1"]) == {"self_attention"}
  assert "out" not in light["params"]
  _, heavy = make(maps, heavy=True, num_layers=2)
  assert set(heavy["params"]["layer_1"]) == {
    "self_attention",
    "norm1",
    "feed_forward",
  }
  assert "out" in heavy["params"]


@pytest.mark.parametrize(
  ("fields", "words"),
  [
    ({"variant": "publishd"}, "Did you mean 'published'"),
    ({"head_norm": "first"}, "own"),
  ],
)
def test_a_wrong_option_says_what_there_is(fields, words):
  with pytest.raises(UserError, match=words):
    ida.Head(LABELS, **fields)
