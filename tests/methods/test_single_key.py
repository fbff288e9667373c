"""The causal head with one label's feature as the only key."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causal_mlr_jax.nn.causal import confounder_expectation as lib
from tests import small
from tests.methods.test_contract import make, make_inputs
from tests.nn.causal.test_confounder_expectation import make_case

FORMS = pytest.mark.parametrize("form", lib.FORMS)


@partial(jax.jit, static_argnames="form")
def found(case, form):
  options = {"form": form, "expectation": "auto", "num_heads": 4}
  return lib.single_key_logits(*case, **options)


def by_definition(case, form):
  """Every key is the feature of one label: attention over them is its value."""
  params, x, c, weight = case
  options = {"form": form, "expectation": "vmapped", "num_heads": 4}
  rows = [
    lib.expected_logits(
      params, jnp.repeat(x[:, [i]], x.shape[1], 1), c, weight, **options
    )
    for i in range(x.shape[1])
  ]
  return jnp.stack(rows, 1)


@FORMS
@pytest.mark.parametrize("images", [1, 3], ids=["prior", "posterior"])
def test_equals_the_definition(form, images):
  case = make_case(0, images=images)
  got = found(case, form)
  want = by_definition(case, form)
  assert got.shape == (3, 5, 5)
  np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())


@given(seed=st.integers(0, 2**16), scale=st.floats(0.01, 100))
def test_the_closed_form_by_the_formula_of_one_key(seed, scale):
  params, x, c, weight = make_case(seed)
  x = scale * x
  got = found((params, x, c, weight), "post_norm")
  # σ is left out: Σ_k P_k fc2(LN(y_j + W_o W_v (x_i + c_k))), in float64.
  f64 = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
  total = np.zeros((5, 5))
  for k in range(len(c)):
    z = np.asarray(x[0], np.float64) + np.asarray(c[k], np.float64)[None]
    z = z @ f64.value.kernel + f64.value.bias[None]
    z = z @ f64.out.kernel + f64.out.bias[None]
    u = z[:, None] + f64.query_ND[None]
    u = u - u.mean(-1, keepdims=True)
    u = u / np.sqrt(np.square(u).mean(-1, keepdims=True) + lib.EPS)
    u = u * f64.norm.scale_D[None, None] + f64.norm.bias_D[None, None]
    logits = np.einsum("IND,ND->IN", u, f64.weight_ND) + f64.bias_N[None]
    total += float(weight[0, k]) * logits
  np.testing.assert_allclose(got[0], total, atol=1e-4 * np.abs(total).max())


@pytest.mark.parametrize(
  "form", small.few(["post_norm", "pre_norm"], ["post_norm"])
)
def test_the_head_has_no_more_parameters_and_the_same_answers(form):
  _, plain = make("causal", intervention=form)
  _, head = make("causal", intervention=form, single_key=True)
  features, side = make_inputs()

  @jax.jit
  def run(key):
    variables = plain.init(key, features, side, train=False)
    outputs = [
      h.apply(variables, features, side, train=False) for h in (plain, head)
    ]
    return variables, *outputs

  variables, want, got = run(jax.random.key(1))
  again = jax.eval_shape(
    lambda key: head.init(key, features, side, train=False), jax.random.key(1)
  )
  assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, again)
  assert "logits_single_key" not in want.aux
  np.testing.assert_allclose(got.logits, want.logits, atol=1e-5)
  single = got.aux["logits_single_key"]
  assert single.shape == (3, 5, 5)
  assert single.dtype == jnp.float32
  # The key decides, and so does the image.
  assert float(jnp.abs(single[:, 0] - single[:, 1]).max()) > 1e-3
  assert float(jnp.abs(single[0] - single[1]).max()) > 1e-3
