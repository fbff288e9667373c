import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import Confounders
from causal_mlr_jax.methods import causal
from tests.methods.test_contract import make, make_inputs


def logits(head, variables, side, train=False):
  features, _ = make_inputs()
  return head.apply(variables, features, side, train=train).logits


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


@pytest.mark.parametrize("form", ["post_norm", "post_norm_ffn", "pre_norm"])
def test_confounders_change_the_answer(form):
  _, head = make("causal", intervention=form)
  features, side = make_inputs()
  variables = head.init(jax.random.key(1), features, side, train=False)
  centres, prior = side["confounders"]
  uniform = np.full_like(prior, 1 / len(prior))
  one = logits(head, variables, side)
  other = logits(
    head, variables, side | {"confounders": Confounders(centres, uniform)}
  )
  assert float(jnp.abs(one - other).max()) > 1e-4


def test_with_the_posterior_an_image_is_trained_with_its_own_context():
  _, head = make("causal", adjustment="posterior", dropout=0.0)
  features, side = make_inputs()
  variables = head.init(jax.random.key(1), features, side, train=False)
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


def test_the_scale_of_the_features_does_not_matter():
  """Centres are standardised: networks of other scales are comparable."""
  _, head = make("causal")
  features, side = make_inputs()
  variables = head.init(jax.random.key(1), features, side, train=False)
  centres, prior = side["confounders"]
  other = {"confounders": Confounders(100 * centres + 7, prior)}
  np.testing.assert_allclose(
    logits(head, variables, side), logits(head, variables, other), atol=1e-4
  )


def test_one_confounder_is_no_confounder():
  _, head = make("causal")
  features, side = make_inputs()
  variables = head.init(jax.random.key(1), features, side, train=False)
  one, prior = np.ones((1, 12), np.float32), np.ones(1, np.float32)
  got = logits(head, variables, {"confounders": Confounders(one, prior)})
  moved = logits(head, variables, {"confounders": Confounders(5 * one, prior)})
  np.testing.assert_allclose(got, moved, atol=1e-6)
  assert jnp.isfinite(got).all()
