import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import Confounders
from causal_mlr_jax.losses import binary_cross_entropy
from causal_mlr_jax.methods import causal
from tests import heads, small
from tests.methods.test_contract import make, make_inputs, make_labels


def logits(head, variables, side, train=False):
  features, _ = make_inputs()
  return heads.apply(head, variables, features, side, train=train).logits


@given(a=st.floats(-60, 60), b=st.floats(-60, 60))
def test_the_mean_of_probabilities_is_exact_and_finite(a, b):
  fused = causal.fuse(jnp.float32(a), jnp.float32(b), "mean_probability")
  a, b = np.float64(np.float32(a)), np.float64(np.float32(b))
  p, q = 1 / (1 + np.exp(-a)), 1 / (1 + np.exp(-b))
  p_not, q_not = 1 / (1 + np.exp(a)), 1 / (1 + np.exp(b))
  want = np.log(p + q) - np.log(p_not + q_not)
  assert float(fused) == pytest.approx(want, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(
  ("fusion", "want"),
  [
    ("mean_logit", [0.5, -1.0]),
    ("max", [2.0, 1.0]),
    ("decoupled", [2.0, -3.0]),
    ("causal", [-1.0, 1.0]),
  ],
)
def test_fusions(fusion, want):
  a, b = jnp.asarray([[2.0, -3.0]]), jnp.asarray([[-1.0, 1.0]])
  np.testing.assert_allclose(causal.fuse(a, b, fusion)[0], want)


def test_an_unknown_option_names_the_choices():
  for option in ("fusion", "intervention", "adjustment", "queries"):
    with pytest.raises(UserError, match=f"method.{option} 'x'"):
      make("causal", **{option: "x"})


@pytest.mark.parametrize(
  "form", small.few(["post_norm", "post_norm_ffn", "pre_norm"], ["post_norm"])
)
def test_confounders_change_the_answer(form):
  _, head = make("causal", intervention=form)
  features, side = make_inputs()
  variables = heads.init(head, jax.random.key(1), features, side)
  centres, prior = side["confounders"]
  uniform = np.full_like(prior, 1 / len(prior))
  one = logits(head, variables, side)
  other = logits(
    head, variables, side | {"confounders": Confounders(centres, uniform)}
  )
  assert float(jnp.abs(one - other).max()) > 1e-4


def test_under_the_literal_formula_nothing_is_left_of_the_sum():
  _, head = make("causal", intervention="linear", fusion="causal")
  features, side = make_inputs()
  variables = heads.init(head, jax.random.key(1), features, side)
  rng = np.random.default_rng(5)
  centres, prior = side["confounders"]
  others = [
    Confounders(rng.normal(3, 7, centres.shape).astype(np.float32), prior),
    Confounders(centres, rng.dirichlet(np.ones(len(prior))).astype(np.float32)),
  ]
  one = logits(head, variables, side)
  # Centred by P(c), they have the mean zero: not even a bias remains.
  for other in others:
    moved = logits(head, variables, side | {"confounders": other})
    np.testing.assert_allclose(moved, one, atol=1e-6)


def test_with_the_posterior_an_image_is_trained_with_its_own_context():
  _, head = make("causal", adjustment="posterior", dropout=0.0)
  features, side = make_inputs()
  variables = heads.init(head, jax.random.key(1), features, side)
  prior = jnp.broadcast_to(side["confounders"].prior_K, (3, 6))
  at_prior = logits(head, variables, side | {"context_share": prior}, True)
  own = logits(head, variables, side, True)
  test = logits(head, variables, side, False)
  np.testing.assert_allclose(at_prior, test, atol=1e-5)
  assert float(jnp.abs(own - test).max()) > 1e-4
  without = {"confounders": side["confounders"]}
  np.testing.assert_array_equal(logits(head, variables, without, False), test)
  with pytest.raises(UserError, match="'context_share'"):
    logits(head, variables, without, True)


def with_context(head, seed=0):
  """Variables in which the contexts say something of the labels."""
  features, side = make_inputs()
  variables = heads.init(head, jax.random.key(1), features, side)
  weight = variables["params"]["context"]["weight"]
  drawn = np.random.default_rng(seed).normal(size=weight.shape)
  variables["params"]["context"]["weight"] = jnp.asarray(drawn, jnp.float32)
  return variables


def test_the_offset_is_that_of_training_alone():
  _, head = make("causal", adjustment="offset", dropout=0.0)
  features, side = make_inputs()
  variables = with_context(head)
  own = heads.apply(head, variables, features, side, train=True).aux
  test = heads.apply(head, variables, features, side, train=False).aux
  np.testing.assert_allclose(
    own["logits_decoupled"], test["logits_decoupled"], atol=1e-5
  )
  bias = variables["params"]["context"]["bias"]
  offset = own["logits_context"] - bias[None]
  assert float(jnp.abs(offset).max()) > 0.1
  np.testing.assert_allclose(
    own["logits_causal"], test["logits_causal"] + offset, atol=1e-4
  )
  with pytest.raises(UserError, match="'context_share'"):
    logits(head, variables, {"confounders": side["confounders"]}, True)


def test_the_context_is_fitted_by_its_own_loss_alone():
  _, head = make("causal", adjustment="offset", dropout=0.0)
  features, side = make_inputs()
  variables, labels = with_context(head), make_labels()

  @jax.jit
  @jax.jacrev
  def gradients(params):
    out = head.apply({"params": params}, features, side, train=True)
    return causal.loss(
      out, {"labels": labels}, side, binary_cross_entropy.loss
    )[1]

  parts = gradients(variables["params"])
  for part in ("decoupled", "causal"):
    own = parts[part]["context"]
    assert all(float(jnp.abs(g).max()) == 0 for g in jax.tree.leaves(own))
  found = parts["context"]
  for name, tree in found.items():
    largest = max(float(jnp.abs(g).max()) for g in jax.tree.leaves(tree))
    assert (largest > 0) == (name == "context"), name


def test_the_scale_of_the_features_does_not_matter():
  """Centres are standardised: networks of other scales are comparable."""
  _, head = make("causal")
  features, side = make_inputs()
  variables = heads.init(head, jax.random.key(1), features, side)
  centres, prior = side["confounders"]
  other = {"confounders": Confounders(100 * centres + 7, prior)}
  np.testing.assert_allclose(
    logits(head, variables, side), logits(head, variables, other), atol=1e-4
  )


def test_one_confounder_is_no_confounder():
  _, head = make("causal")
  features, _ = make_inputs()
  one, prior = np.ones((1, 12), np.float32), np.ones(1, np.float32)
  side = {"confounders": Confounders(one, prior)}
  variables = heads.init(head, jax.random.key(1), features, side)
  got = logits(head, variables, side)
  moved = logits(head, variables, {"confounders": Confounders(5 * one, prior)})
  np.testing.assert_allclose(got, moved, atol=1e-6)
  assert jnp.isfinite(got).all()


def test_learned_confounders_start_as_the_given_ones():
  features, side = make_inputs()
  _, given = make("causal")
  _, learned = make("causal", learn_confounders=True)
  variables = heads.init(given, jax.random.key(1), features, side)
  more = heads.init(learned, jax.random.key(1), features, side)
  start = more["params"].pop("confounders")
  assert start.shape == side["confounders"].centres_KC.shape
  np.testing.assert_allclose(
    side["confounders"].prior_K @ start, np.zeros(12), atol=1e-5
  )
  shapes = [jax.tree.map(jnp.shape, v) for v in (variables, more)]
  assert shapes[0] == shapes[1]
  same = {"params": variables["params"] | {"confounders": start}}
  np.testing.assert_allclose(
    logits(learned, same, side), logits(given, variables, side), atol=1e-6
  )


def test_learned_confounders_take_the_place_of_the_given_ones():
  features, side = make_inputs()
  _, head = make("causal", learn_confounders=True)
  variables = heads.init(head, jax.random.key(1), features, side)
  centres, prior = side["confounders"]
  want = logits(head, variables, side)
  other = side | {"confounders": Confounders(centres[::-1] + 3, prior)}
  np.testing.assert_array_equal(logits(head, variables, other), want)
  moved = jax.tree.map(jnp.copy, variables)
  moved["params"]["confounders"] = moved["params"]["confounders"][::-1]
  assert float(jnp.abs(logits(head, moved, side) - want).max()) > 1e-4
  # P(c) is still the given one.
  uniform = side | {"confounders": Confounders(centres, np.full(6, 1 / 6, "f"))}
  assert float(jnp.abs(logits(head, variables, uniform) - want).max()) > 1e-4


@pytest.mark.parametrize(
  "form", small.few(["post_norm", "pre_norm"], ["post_norm"])
)
def test_every_learned_confounder_gets_a_gradient(form):
  features, side = make_inputs()
  _, head = make("causal", learn_confounders=True, intervention=form)
  variables = heads.init(head, jax.random.key(1), features, side)

  def loss(params):
    keys = {"dropout": jax.random.key(2)}
    output = head.apply(
      {"params": params}, features, side, train=True, rngs=keys
    )
    batch = {"labels": jnp.asarray(make_labels())}
    return causal.loss(output, batch, side, binary_cross_entropy.loss)[0]

  grads = jax.device_get(jax.jit(jax.grad(loss))(variables["params"]))
  assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))
  assert (np.abs(grads["confounders"]).max(1) > 0).all()
  assert np.abs(grads["project_confounders"]["kernel"]).max() > 0
