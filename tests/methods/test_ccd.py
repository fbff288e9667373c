"""CCD: what its stages hold, and what it takes off."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import Features
from causal_mlr_jax.losses import binary_cross_entropy
from causal_mlr_jax.methods import ccd

LABELS, CHANNELS = 5, 8


@pytest.fixture
def features(rng):
  final = rng.normal(size=(3, 2, 4, CHANNELS)).astype(np.float32)
  final = jnp.asarray(np.maximum(final, 0))
  return Features({"final": final}, final.mean((1, 2)))


@pytest.fixture
def side(rng):
  prototypes = rng.normal(size=(LABELS, CHANNELS)).astype(np.float32)
  return {"label_prototypes": prototypes}


def run(features, side, **fields):
  head = ccd.Head(LABELS, num_heads=2, **fields)
  output, variables = head.init_with_output(
    jax.random.key(0), features, side, train=False
  )
  return head, variables, output


def test_stage_1_is_the_context_classifier_alone(features):
  _, variables, output = run(features, {}, stage=1)
  assert set(variables) == {"params"}
  assert set(variables["params"]) == {"context"}
  np.testing.assert_array_equal(output.logits, output.aux["context_logits"])


def test_the_first_training_is_stage_1_of_the_same_sizes():
  fields = {"num_heads": 2, "tau": 8.0, "stage": 2}
  assert ccd.first_stage(fields) == ("ccd", fields | {"stage": 1})
  assert fields["stage"] == 2


@pytest.mark.parametrize("fuse", ccd.FUSES)
def test_context_classifier_is_that_of_stage_1(features, side, fuse):
  _, first, want = run(features, {}, stage=1)
  head, variables, _ = run(features, side, fuse=fuse)
  params = variables["params"] | first["params"]
  output = head.apply(
    {**variables, "params": params}, features, {}, train=False
  )
  np.testing.assert_array_equal(output.aux["context_logits"], want.logits)


def test_without_a_memory_the_largest_feature_is_classified(features, side):
  side = {"label_prototypes": 0 * side["label_prototypes"]}
  _, _, output = run(features, side)
  peak = features.maps["final"].max((1, 2))
  np.testing.assert_array_equal(output.aux["fused_feature"], peak)


def test_the_context_is_the_mean_of_the_prototypes(features, side):
  _, _, output = run(features, side, fuse="none")
  share = jax.nn.softmax(output.aux["context_logits"], axis=-1)
  taken = features.maps["final"].max((1, 2)) - output.aux["fused_feature"]
  np.testing.assert_allclose(taken, share @ side["label_prototypes"], atol=1e-5)


def test_the_gate_takes_off_no_more_than_the_context(features, side):
  peak = features.maps["final"].max((1, 2))
  taken = [
    jnp.abs(peak - run(features, side, fuse=fuse)[2].aux["fused_feature"])
    for fuse in ("selector", "none")
  ]
  assert (taken[0] < taken[1]).all()


def test_memory_is_kept_with_the_variables_and_not_learned(features, side):
  head, variables, output = run(features, side)
  memory = variables["constants"]["memory"]
  np.testing.assert_array_equal(memory, side["label_prototypes"])
  assert "memory" not in variables["params"]
  later = head.apply(variables, features, {}, train=False)
  np.testing.assert_array_equal(later.logits, output.logits)


@pytest.mark.parametrize("fuse", ccd.FUSES)
def test_blank_images_have_finite_gradients(features, side, fuse):
  maps = features.maps["final"].at[0].set(0)
  head, variables, _ = run(features, side, fuse=fuse)
  labels = jnp.ones((3, LABELS))

  def loss(params, maps):
    features = Features({"final": maps}, maps.mean((1, 2)))
    output = head.apply(
      {**variables, "params": params}, features, {}, train=True
    )
    criterion = binary_cross_entropy.loss
    return ccd.loss(output, {"labels": labels}, {}, criterion)[0]

  gradient = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
  value, grads = gradient(variables["params"], maps)
  assert jnp.isfinite(value)
  assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
  assert jnp.abs(grads[0]["context"]["weight"]).max() > 0


@pytest.mark.parametrize(
  ("fields", "words"),
  [({"fuse": "selecter"}, "Did you mean 'selector'"), ({"stage": 3}, "1 or 2")],
)
def test_a_wrong_option_says_what_there_is(fields, words):
  with pytest.raises(UserError, match=words):
    ccd.Head(LABELS, **fields)
