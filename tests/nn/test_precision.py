"""What is left of the exact expectation where products are rounded.

On a GPU or TPU float32 matrices are multiplied in TF32 or bfloat16 by default,
see `tests/rounding.py`. The bounds are in units of that rounding.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causal_mlr_jax.nn.causal.causal_head import CausalHead
from tests import small
from tests.rounding import BF16, TF32, relative, with_rounded_products

BATCH, LABELS, DIM, CONFOUNDERS = 3, 12, 64, 9


def make(form, expectation):
  """Returns a function from parameters to logits and gradients, and those."""
  keys = jax.random.split(jax.random.key(0), 5)
  x_BND = jax.random.normal(keys[0], (BATCH, LABELS, DIM))
  query_ND = jax.random.normal(keys[1], (LABELS, DIM))
  confounder_KD = jax.random.normal(keys[2], (CONFOUNDERS, DIM))
  weight_BK = jnp.full((1, CONFOUNDERS), 1 / CONFOUNDERS)
  labels_BN = jax.random.bernoulli(keys[3], 0.3, (BATCH, LABELS))
  head = CausalHead(4, 2 * DIM, form, expectation)
  inputs = (x_BND, query_ND, confounder_KD, weight_BK)
  params = jax.jit(head.init)(keys[4], *inputs)

  def loss(params):
    logits = head.apply(params, *inputs)
    return (jax.nn.softplus(logits) - labels_BN * logits).mean(), logits

  def run(params):
    (_, logits), grads = jax.value_and_grad(loss, has_aux=True)(params)
    return {"logits": logits} | grads["params"]

  return run, params


def errors(found, exact):
  """Relative errors of logits and gradients, without gradients of 0."""
  size = max(np.linalg.norm(np.ravel(x)) for x in exact.values())
  return {
    name: relative(found[name], value)
    for name, value in exact.items()
    if np.linalg.norm(np.ravel(value)) > 1e-4 * size
  }


@cache
def unrounded(form):
  """Both functions, their parameters, and what the definition gives."""
  run, params = make(form, "closed_form")
  define, _ = make(form, "vmapped")
  exact = jax.jit(define)(params)
  assert max(errors(jax.jit(run)(params), exact).values()) < 1e-5
  return run, define, params, exact


@pytest.mark.parametrize("bits", [TF32, BF16], ids=["tf32", "bf16"])
@pytest.mark.parametrize(
  "form", small.few(["post_norm", "linear"], ["post_norm"])
)
def test_rounded_products_move_the_closed_form_by_their_rounding(form, bits):
  run, define, params, exact = unrounded(form)
  found = errors(jax.jit(with_rounded_products(run, bits))(params), exact)
  rounding = 2.0 ** -(bits + 1)
  assert max(found.values()) < 8 * rounding, found
  assert max(found.values()) > rounding / 8  # they were rounded
  # The definition, which adds up as many rounded logits, is no nearer.
  defined = jax.jit(with_rounded_products(define, bits))(params)
  defined = errors(defined, exact)
  assert max(found.values()) < 2 * max(defined.values())


def test_factors_are_rounded_where_nobody_asks_for_more():
  a, b = np.float32([[1 + 2**-12]]), np.float32([[1 + 2**-12]])

  def product(a, b, **options):
    return with_rounded_products(
      lambda a, b: jnp.matmul(a, b, **options), TF32
    )(a, b)

  assert product(a, b) == 1
  highest = product(a, b, precision=jax.lax.Precision.HIGHEST)
  np.testing.assert_array_equal(highest, a @ b)
