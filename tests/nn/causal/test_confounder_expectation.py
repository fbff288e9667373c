import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.nn.causal import confounder_expectation as lib

FAST = [
  ("linear", "closed_form"),
  ("linear", "scan"),
  ("post_norm", "closed_form"),
  ("post_norm", "scan"),
  ("post_norm_ffn", "scan"),
  ("pre_norm", "scan"),
]


def make_params(rng, num_labels, dim, hidden):
  def draw(*shape, scale=1.0):
    return jnp.asarray(rng.normal(size=shape) * scale, jnp.float32)

  def linear(dim_in, dim_out):
    kernel = draw(dim_in, dim_out, scale=dim_in**-0.5)
    return lib.Linear(kernel, draw(dim_out, scale=0.3))

  def norm():
    return lib.Norm(1 + draw(dim, scale=0.3), draw(dim, scale=0.3))

  return lib.CausalParams(
    query_ND=draw(num_labels, dim),
    query=linear(dim, dim),
    key=linear(dim, dim),
    value=linear(dim, dim),
    out=linear(dim, dim),
    norm=norm(),
    linear1=linear(dim, hidden),
    linear2=linear(hidden, dim),
    norm2=norm(),
    weight_ND=draw(num_labels, dim),
    bias_N=draw(num_labels),
  )


def make_case(seed, batch=3, num_labels=5, dim=16, confounders=7, images=1):
  rng = np.random.default_rng(seed)
  params = make_params(rng, num_labels, dim, 24)
  x = jnp.asarray(rng.normal(size=(batch, num_labels, dim)), jnp.float32)
  c = jnp.asarray(2 * rng.normal(size=(confounders, dim)), jnp.float32)
  weight = rng.dirichlet(np.ones(confounders), size=images)
  return params, x, c, jnp.asarray(weight, jnp.float32)


@functools.partial(jax.jit, static_argnums=(1, 2))
def evaluate(case, form, expectation):
  def total(args):
    logits = lib.expected_logits(
      *args, form=form, expectation=expectation, num_heads=4
    )
    wave = jnp.cos(jnp.arange(logits.size, dtype=jnp.float32))
    return jnp.sum(logits * wave.reshape(logits.shape)), logits

  gradient, logits = jax.grad(total, has_aux=True)(case)
  return logits, gradient


def logits_of(case, form):
  """By the quickest expectation, under the name that `evaluate` knows it by."""
  return np.asarray(evaluate(case, form, lib.resolve(form, "auto"))[0])


def assert_close(got, want, floor=0.0):
  """Within 1e-5 of the largest value, or of `floor` where that is larger."""
  scale = max(float(np.abs(want).max()), floor)
  np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * scale)


# The weights of an image enter where the forms have become one.
ONCE = ("pre_norm", "post_norm_ffn")


@pytest.mark.parametrize(
  ("form", "expectation", "images"),
  [
    pytest.param(
      *case,
      images,
      marks=pytest.mark.slow if images > 1 and case[0] in ONCE else (),
      id="-".join([*case, name]),
    )
    for case in FAST
    for images, name in ((1, "prior"), (3, "posterior"))
  ],
)
def test_equals_the_definition_in_value_and_gradient(form, expectation, images):
  case = make_case(0, images=images)
  got, got_grad = evaluate(case, form, expectation)
  want, want_grad = evaluate(case, form, "vmapped")
  assert_close(got, want)
  # Some gradients are zero in exact arithmetic (the key's bias): rounding is
  # all they hold, about 1e-7 of the largest gradient.
  floor = 0.1 * max(float(np.abs(g).max()) for g in jax.tree.leaves(want_grad))
  for a, b in zip(
    jax.tree.leaves(got_grad), jax.tree.leaves(want_grad), strict=True
  ):
    assert_close(a, b, floor)


@given(
  seed=st.integers(0, 2**16),
  x_scale=st.floats(0.01, 100),
  c_scale=st.floats(0.01, 100),
)
def test_closed_form_equals_the_definition_at_any_scale(seed, x_scale, c_scale):
  params, x, c, weight = make_case(seed)
  case = (params, x_scale * x, c_scale * c, weight)
  got, _ = evaluate(case, "post_norm", "closed_form")
  want, _ = evaluate(case, "post_norm", "vmapped")
  assert_close(got, want)


@pytest.mark.parametrize("form", lib.FORMS)
def test_only_the_literal_formula_collapses_to_the_mean_confounder(form):
  params, x, c, weight = make_case(1)
  # As many of it as there are confounders, so that nothing is compiled anew.
  mean = np.broadcast_to(np.asarray(weight) @ np.asarray(c), c.shape)
  full = logits_of((params, x, c, weight), form)
  collapsed = logits_of((params, x, mean, weight), form)
  difference = np.abs(full - collapsed).max()
  if form == "linear":
    assert difference < 1e-5 * np.abs(full).max()
  else:
    assert difference > 0.05


@pytest.mark.parametrize("form", [f for f in lib.FORMS if f != "linear"])
def test_output_depends_on_how_many_confounders_there_are(form):
  params, x, c, weight = make_case(2)
  fewer = np.where(np.arange(7) < 3, weight, 0)
  fewer /= fewer.sum()
  full = logits_of((params, x, c, weight), form)
  part = logits_of((params, x, c, fewer), form)
  assert np.abs(full - part).max() > 0.05


def test_literal_formula_shifts_all_images_alike():
  params, x, c, weight = make_case(3)
  with_c = logits_of((params, x, c, weight), "linear")
  without = logits_of((params, x, 0 * c, weight), "linear")
  shift = with_c - without
  np.testing.assert_allclose(shift, shift[:1].repeat(3, 0), atol=1e-4)
  assert np.abs(shift).max() > 0.1


def test_names_are_checked():
  with pytest.raises(UserError, match="Did you mean 'post_norm'"):
    lib.resolve("postnorm", "auto")
  with pytest.raises(UserError, match="closed_form"):
    lib.resolve("post_norm", "closedform")
  with pytest.raises(UserError, match="no closed form"):
    lib.resolve("pre_norm", "closed_form")
  assert lib.resolve("post_norm", "auto") == "closed_form"
  assert lib.resolve("pre_norm", "auto") == "scan"
