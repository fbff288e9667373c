"""Every file of methods/ keeps the contract; a new one is found by itself."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causal_mlr_jax.core import lookup
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import ACTIVATION, ATTENTION, Features
from causal_mlr_jax.data.label_statistics import cooccurrence
from causal_mlr_jax.losses import binary_cross_entropy
from causal_mlr_jax.training import model as model_lib
from configs import registry
from tests import heads, small
from tests.rounding import relative

NAMES = lookup.names(model_lib.METHODS)
# Compiled in bfloat16 by the fast tests; the others by the slow ones. All of
# q2l is a part of causal.
QUICK = ("baseline", "c_tran", "causal")
LABELS, BATCH = 5, 3
SMALL = {
  "embed_dim": 16,
  "hidden": 24,
  "input_projection": True,
  "joint_dim": 16,
  "num_decoder_layers": 1,
  "num_layers": 1,
  "output_dim": 24,
}
# Biases that softmax drops, see `attention.Projection` and `ssgrl.Weights`, or
# the normalisation of a batch, see `nn/dynamic_graph.py`.
WITHOUT_GRADIENT = (
  "key/bias",
  "semantic/joint/bias",
  "semantic/score/bias",
  "graph/context/bias",
)


def make(name, **options):
  method = model_lib.find_method(name)
  fields = dict(registry.METHODS[name])
  if "variant" in fields:
    fields["variant"] = "corrected"  # what 'auto' is without a checkpoint
  fields |= {k: v for k, v in SMALL.items() if k in fields}
  return method, method.Head(num_labels=LABELS, **(fields | options))


def make_inputs(dtype=jnp.float32):
  keys = jax.random.split(jax.random.key(0), 2)
  final = jax.random.normal(keys[0], (BATCH, 4, 4, 12)).astype(dtype)
  maps = dict.fromkeys(("final", "stage1", "stage2", "stage3"), final)
  features = Features(maps, final.astype(jnp.float32).mean((1, 2)))
  share = jax.nn.softmax(jax.random.normal(keys[1], (BATCH, 6)))
  labels = jnp.asarray(make_labels())
  rng = np.random.default_rng(0)
  side = {
    "confounders": small.confounders(),
    "context_share": share,
    "cooccurrence": cooccurrence(rng.random((40, LABELS)) < 0.4),
    "label_embeddings": rng.normal(size=(LABELS, 7)).astype(np.float32),
    "biased_pairs": np.asarray([[0, 1], [2, 4]], np.int32),
    "label_state": rng.integers(-1, 2, (BATCH, LABELS)).astype(np.int32),
    "labels": labels,
    "label_prototypes": rng.normal(size=(LABELS, 12)).astype(np.float32),
  }
  return features, side | {"reference": make_reference(features)}


def make_labels():
  """Each label somewhere, and both labels of a pair in one image."""
  labels = np.eye(BATCH, LABELS, dtype=np.float32)
  labels[0, 1] = labels[1, 3] = labels[1, 4] = 1
  return labels


def make_reference(features):
  """What a frozen network says of the same images."""
  _, head = make("baseline")
  variables = heads.init(head, jax.random.key(9), features, {})
  return heads.apply(head, variables, features, {})


def test_every_method_has_its_line_in_the_configuration():
  assert set(NAMES) == set(registry.METHODS)


@cache
def compiled(name, dtype=jnp.float32):
  """From a key of initial values to a method's numbers, compiled at once."""
  method, head = make(name, dtype=dtype)
  features, side = make_inputs(dtype)
  batch = {"labels": jnp.asarray(make_labels())}

  def loss_of(output):
    return method.loss(output, batch, side, binary_cross_entropy.loss)

  @jax.jit
  def compute(key):
    variables = head.init(key, features, side, train=False)
    output = head.apply(variables, features, side, train=False)
    rest = {k: v for k, v in variables.items() if k != "params"}

    def loss(params):
      output, _ = head.apply(
        {"params": params, **rest},
        features,
        side,
        train=True,
        mutable=list(rest),
        rngs={"dropout": jax.random.key(2)},
      )
      return loss_of(output)[0], output.logits

    grads, logits = jax.grad(loss, has_aux=True)(variables["params"])
    found = {"output": output, "scores": method.scores(output)}
    found |= {"loss": loss_of(output), "variables": variables}
    return found | {"gradients": grads, "training_logits": logits}

  return compute


@cache
def computed(name):
  """Returns a method's numbers in test and in training."""
  found, again = (compiled(name)(jax.random.key(1)) for _ in range(2))
  jax.tree.map(np.testing.assert_array_equal, found, again)
  return found


@pytest.mark.parametrize("name", NAMES)
def test_output_loss_and_scores(name):
  found = computed(name)
  assert set(found["variables"]) >= {"params"}
  output, scores = found["output"], found["scores"]
  assert output.logits.shape == (BATCH, LABELS)
  assert output.logits.dtype == jnp.float32
  assert output.aux["attention"].shape == (BATCH, LABELS, 16)
  assert scores.shape == (BATCH, LABELS)
  assert ((scores >= 0) & (scores <= 1)).all()
  np.testing.assert_allclose(scores, jax.nn.sigmoid(output.logits), atol=1e-6)
  loss, parts = found["loss"]
  assert loss.shape == ()
  assert all(part.shape == () for part in parts.values())
  assert float(loss) == pytest.approx(sum(float(p) for p in parts.values()))


@pytest.mark.parametrize("name", NAMES)
def test_maps_are_what_the_method_says(name):
  method, aux = model_lib.find_method(name), computed(name)["output"].aux
  maps = np.asarray(aux["attention"])
  assert method.MAPS.meaning
  if method.MAPS.kind == ATTENTION:
    assert maps.min() >= 0
    assert maps.sum(-1).max() <= 1 + 1e-5
  else:
    assert method.MAPS.kind == ACTIVATION
    assert maps.min() < 0
  for part in getattr(method, "PARTS", ()):
    assert aux[f"logits_{part}"].shape == (BATCH, LABELS)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_finite_gradient(name):
  grads = computed(name)["gradients"]
  for path, grad in jax.tree_util.tree_leaves_with_path(grads):
    where = jax.tree_util.keystr(path, simple=True, separator="/")
    assert np.isfinite(grad).all(), where
    assert np.abs(grad).max() > 0 or where.endswith(WITHOUT_GRADIENT), where


@pytest.mark.parametrize("name", small.few(NAMES, QUICK))
def test_bfloat16_is_near_float32_in_outputs_and_gradients(name):
  # Of three images; some initial values make a graph of labels that magnifies
  # rounding, so that one draw says little.
  near, near_gradients = [], []
  for seed in range(5):
    key = jax.random.key(seed)
    exact, found = (
      compiled(name, dtype)(key) for dtype in (jnp.float32, jnp.bfloat16)
    )
    kept = jax.tree.leaves(found["variables"])
    assert {x.dtype for x in kept} == {jnp.dtype("float32")}
    assert found["training_logits"].dtype == jnp.float32
    near.append(relative(found["training_logits"], exact["training_logits"]))
    pair = (flat(each["gradients"]) for each in (found, exact))
    near_gradients.append(relative(*pair))
  # bfloat16 rounds by 2^-9 at most, 0.2 %; a head does so some ten times, one
  # after another.
  assert np.median(near) < 0.02
  # TDRG normalises over the images of a batch, here three.
  assert np.median(near_gradients) < (0.1 if name == "tdrg" else 0.05)


def flat(tree):
  return np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_side_input_is_named(name):
  method, head = make(name)
  features, side = make_inputs()
  batch = {"labels": jnp.asarray(make_labels())}

  keys = {"params": jax.random.key(1), "dropout": jax.random.key(2)}

  def step(side):
    output, _ = head.init_with_output(keys, features, side, train=True)
    return method.loss(output, batch, side, binary_cross_entropy.loss)

  # Traced alone, since nothing is read of the values.
  train = partial(jax.eval_shape, step)
  train(side)
  for needed in model_lib.training_needs(method):
    less = {k: v for k, v in side.items() if k != needed}
    with pytest.raises(UserError, match=rf"'{needed}'.*--mode"):
      train(less)
  # At test, what training alone needs may be missing.
  less = {k: v for k, v in side.items() if k in method.NEEDS}
  jax.eval_shape(partial(head.init, train=False), keys, features, less)
