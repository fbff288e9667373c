"""SSGRL: attention without large arrays, and the gates of its graph."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import Features
from causal_mlr_jax.data.label_statistics import cooccurrence
from causal_mlr_jax.methods import ssgrl
from tests import heads

LABELS, CHANNELS, JOINT = 4, 6, 8


def side_inputs():
  rng = np.random.default_rng(0)
  return {
    "cooccurrence": cooccurrence(rng.random((30, LABELS)) < 0.5),
    "label_embeddings": rng.normal(size=(LABELS, 5)).astype(np.float32),
  }


def features_of(height=4, width=4):
  shape = (2, height, width, CHANNELS)
  final = jax.random.normal(jax.random.key(height), shape)
  return Features({"final": final}, final.mean((1, 2)))


def make(features, **fields):
  head = ssgrl.Head(LABELS, joint_dim=JOINT, output_dim=7, **fields)
  return head, heads.init(head, jax.random.key(1), features, side_inputs())


def joint_inputs(batch=3, positions=9, labels=5):
  keys = jax.random.split(jax.random.key(2), 3)
  return (
    jax.random.normal(keys[0], (batch, positions, JOINT)),
    jax.random.normal(keys[1], (labels, JOINT)),
    jax.random.normal(keys[2], (JOINT, 1)),
  )


def naive_scores(position, word, score):
  joint = jnp.tanh(position[:, None] * word[None, :, None])
  return (joint @ score)[..., 0]


def squares(function):
  return lambda *args: jnp.square(function(*args)).sum()


def test_scores_and_gradients_equal_the_formula():
  inputs = joint_inputs()

  @partial(jax.jit, static_argnums=0)
  def run(function):
    return function(*inputs), jax.grad(squares(function), (0, 1, 2))(*inputs)

  (scores, found), (naive, want) = map(run, (ssgrl.joint_scores, naive_scores))
  np.testing.assert_allclose(scores, naive, atol=1e-5)
  for a, b in zip(found, want, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_no_array_holds_every_pair_of_position_and_label():
  inputs = joint_inputs()

  def largest(function):
    gradient = jax.value_and_grad(squares(function), (0, 1, 2))
    shapes = re.findall(r"\[([\d,]+)\]", str(jax.make_jaxpr(gradient)(*inputs)))
    return max(np.prod([int(d) for d in s.split(",")]) for s in shapes)

  pairs = 3 * 9 * 5 * JOINT
  assert largest(naive_scores) >= pairs
  assert largest(ssgrl.joint_scores) <= pairs // 5


def test_biases_before_the_softmax_have_no_effect():
  features = features_of()
  head, variables = make(features)
  before = heads.apply(head, variables, features, side_inputs())
  for name in ("joint", "score"):
    semantic = variables["params"]["semantic"]
    semantic[name]["bias"] = semantic[name]["bias"] + 1
  after = heads.apply(head, variables, features, side_inputs())
  np.testing.assert_allclose(after.logits, before.logits, atol=1e-5)


@pytest.mark.parametrize(
  ("height", "width", "size"), [(4, 6, 2), (5, 3, 2), (3, 8, 3), (2, 3, 1)]
)
def test_windows(height, width, size):
  final = np.asarray(features_of(height, width).maps["final"])
  found = ssgrl.average_windows(final, size)
  assert found.shape == (2, height // size, width // size, CHANNELS)
  for h, w in np.ndindex(*found.shape[1:3]):
    window = final[:, h * size : (h + 1) * size, w * size : (w + 1) * size]
    np.testing.assert_allclose(found[:, h, w], window.mean((1, 2)), 1e-4, 1e-6)
  # Attention goes back to the positions that its windows came from.
  weights = np.random.default_rng(0).random((2, 3, *found.shape[1:3]))
  spread = np.asarray(ssgrl.over_positions(weights, final.shape, size))
  np.testing.assert_allclose(spread.sum(-1), weights.sum((2, 3)), 1e-5)
  grid = spread.reshape(2, 3, height, width)
  assert (grid[:, :, height // size * size :] == 0).all()
  assert (grid[:, :, :, width // size * size :] == 0).all()
  np.testing.assert_allclose(grid[:, :, 0, 0] * size**2, weights[:, :, 0, 0])


def test_a_map_that_is_smaller_than_a_window():
  with pytest.raises(UserError, match=r"pool = 3 .* 2 x 5; .*pool=1"):
    make(features_of(2, 5), pool=3)


def test_attention_is_a_distribution_and_gathers_the_windows():
  features = features_of(5, 4)
  head, variables = make(features)
  aux = heads.apply(head, variables, features, side_inputs()).aux
  np.testing.assert_allclose(aux["attention"].sum(-1), 1, atol=1e-5)
  x = features.maps["final"].reshape(2, 20, CHANNELS)
  want = jnp.einsum("BNP,BPC->BNC", aux["attention"], x)
  np.testing.assert_allclose(aux["semantic"], want, atol=1e-5)


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def graph_by_hand(params, nodes, graph, reset):
  def linear(name, x):
    kernel, bias = params[name]["kernel"], params[name]["bias"]
    return x @ np.asarray(kernel) + np.asarray(bias)

  message = np.concatenate([graph @ nodes, graph.T @ nodes], axis=-1)
  z = sigmoid(linear("update_message", message) + linear("update", nodes))
  r = sigmoid(linear("reset_message", message) + linear(reset, nodes))
  new = np.tanh(linear("new_message", message) + linear("new", r * nodes))
  return (1 - z) * nodes + z * new


@pytest.mark.parametrize(
  ("variant", "reset"), [("corrected", "reset"), ("published", "update")]
)
def test_gates_of_the_graph(variant, reset):
  rng = np.random.default_rng(0)
  nodes = rng.normal(size=(2, LABELS, CHANNELS)).astype(np.float32)
  graph = rng.random((LABELS, LABELS)).astype(np.float32)
  module = ssgrl.GatedGraph(2, variant)
  variables = module.init(jax.random.key(0), nodes, jnp.asarray(graph))
  assert ("reset" in variables["params"]) == (variant == "corrected")
  found = module.apply(variables, nodes, jnp.asarray(graph))
  want = nodes
  for _ in range(2):
    want = graph_by_hand(variables["params"], want, graph, reset)
  np.testing.assert_allclose(found, want, atol=1e-5)


def test_published_is_corrected_with_the_update_gates_matrix():
  features = features_of()
  corrected, variables = make(features)
  published, _ = make(features, variant="published")
  params = variables["params"]

  def logits(head, graph):
    variables = {"params": params | {"graph": graph}}
    return heads.apply(head, variables, features, side_inputs()).logits

  own = params["graph"]
  without = {k: v for k, v in own.items() if k != "reset"}
  tied = own | {"reset": own["update"]}
  want = logits(published, without)
  np.testing.assert_allclose(logits(corrected, tied), want, atol=1e-6)
  assert jnp.abs(logits(corrected, own) - want).max() > 1e-4


def test_unknown_variant():
  with pytest.raises(UserError, match=r"method\.variant 'fixed'.*corrected"):
    ssgrl.Head(LABELS, variant="fixed")
