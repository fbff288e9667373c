"""The expectation of the causal score over confounders, exact and fast.

The paper's score of label j is σ(Σ_k P(c_k) · fc2(CrossAttn(y_j, X + c_k,
X + c_k))): an expectation of logits inside one sigmoid (normalised weighted
geometric mean). X [B, N, D] are label-specific features, y label queries.

Since q · W_k(x_i + c) = q · W_k x_i + q · W_k c and softmax ignores a constant
that all keys share, the attention does not depend on c. Since its rows sum to
1, CrossAttn(y, X + c) = CrossAttn(y, X) + W_o W_v c. One attention therefore
serves all confounders, and the layers after it decide the cost:

  form            after the attention                        cheapest exact way
  linear          fc2: the literal formula. The confounders  closed form
                  add only the constant of their mean, which
                  is zero for centred confounders
  post_norm       residual, LayerNorm, fc2                   closed form
  post_norm_ffn   the same, feed-forward, LayerNorm, fc2     scan
  pre_norm        residual, fc2; LayerNorm on X + c, so the  scan, attention
                  attention does depend on c                 at each step

`vmapped` is the definition, and the tests' reference; the other ways agree with
it to 1e-6 where matrix products are float32. Where products default to TF32
(GPU) or bfloat16 (TPU), each is as exact as its products; see
docs/how-it-works.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.lookup import check_name
from causal_mlr_jax.core.types import Array
from causal_mlr_jax.nn.attention import attend

FORMS = ("linear", "post_norm", "post_norm_ffn", "pre_norm")
EXPECTATIONS = ("auto", "closed_form", "scan", "vmapped")
CLOSED_FORM = ("linear", "post_norm")
EPS = 1e-5


class Linear(NamedTuple):
  """A linear map: kernel [in, out] and bias [out]."""

  kernel: Array
  bias: Array


class Norm(NamedTuple):
  """LayerNorm's scale and bias, both [D]."""

  scale_D: Array
  bias_D: Array


class CausalParams(NamedTuple):
  """Parameters of the causal head; those that a form does not use are None.

  Attributes:
    query_ND: Label queries y.
    query, key, value, out: The attention's projections.
    norm: LayerNorm after the attention, or on X + c in `pre_norm`.
    linear1, linear2, norm2: Feed-forward layers of `post_norm_ffn`.
    weight_ND, bias_N: fc2, one linear classifier per label.
  """

  query_ND: Array
  query: Linear
  key: Linear
  value: Linear
  out: Linear
  norm: Norm | None
  linear1: Linear | None
  linear2: Linear | None
  norm2: Norm | None
  weight_ND: Array
  bias_N: Array


def resolve(form: str, expectation: str) -> str:
  """Checks both names and returns the expectation to compute.

  Args:
    form: One of `FORMS`.
    expectation: One of `EXPECTATIONS`; 'auto' selects the cheapest exact one.

  Raises:
    UserError: A name is unknown, or the form has no closed form.
  """
  check_name("method.intervention", form, FORMS)
  check_name("method.expectation", expectation, EXPECTATIONS)
  if expectation == "auto":
    return "closed_form" if form in CLOSED_FORM else "scan"
  if expectation == "closed_form" and form not in CLOSED_FORM:
    raise UserError(
      f"method.intervention={form!r} has no closed form; set "
      "method.expectation='scan' or 'auto', or method.intervention to one of "
      f"{', '.join(CLOSED_FORM)}."
    )
  return expectation


def expected_logits(
  params: CausalParams,
  x_BND: Array,
  confounder_KD: Array,
  weight_BK: Array,
  *,
  form: str,
  expectation: str,
  num_heads: int,
) -> Array:
  """Returns Σ_k weight_k · logit_j(X, c_k), [B, N], float32.

  Args:
    params: Parameters of the causal head.
    x_BND: Label-specific features X.
    confounder_KD: Confounders, projected to the width of X.
    weight_BK: P(c_k), [1, K], or one distribution per image, [B, K].
    form: One of `FORMS`.
    expectation: One of `EXPECTATIONS`.
    num_heads: Number of attention heads A.

  Raises:
    UserError: See `resolve`.
  """
  expectation = resolve(form, expectation)
  x_BND = x_BND.astype(jnp.float32)
  if expectation == "vmapped":
    logits_KBN = jax.vmap(
      lambda c: conditional_logits(params, x_BND, c, form, num_heads)
    )(confounder_KD)
    weight_BK = jnp.broadcast_to(
      weight_BK, (x_BND.shape[0], weight_BK.shape[1])
    )
    return jnp.einsum("KBN,BK->BN", logits_KBN, weight_BK)
  if form == "pre_norm":
    return _scan(
      lambda c: conditional_logits(params, x_BND, c, form, num_heads),
      confounder_KD,
      weight_BK,
    )
  u_BND = residual(params, x_BND, form, num_heads)
  d_KD = value_shift(params, confounder_KD)
  if expectation == "scan":
    return _scan(
      lambda d: read_out(params, u_BND + d[None, None], form),
      d_KD,
      weight_BK,
    )
  return closed_form(params, u_BND, d_KD, weight_BK, form)


def single_key_logits(
  params: CausalParams,
  x_BND: Array,
  confounder_KD: Array,
  weight_BK: Array,
  **options: Any,
) -> Array:
  """Returns the logits of label j given x_i as the only key, [B, N (i), N (j)].

  The softmax over one key is 1, so the logit for `post_norm` is Σ_k P(c_k) ·
  fc2(LN(y_j + W_o W_v (x_i + c_k))): the score of j under do(X_i). The loop is
  over the labels i, so that no array is larger than [B, N, D] or the result.

  Args:
    params: Parameters of the causal head.
    x_BND: Label-specific features X.
    confounder_KD: See `expected_logits`.
    weight_BK: See `expected_logits`.
    **options: See `expected_logits`.
  """

  def given(x_BD: Array) -> Array:
    key_B1D = x_BD[:, None]
    return expected_logits(params, key_B1D, confounder_KD, weight_BK, **options)

  logits_NBN = jax.lax.map(given, jnp.swapaxes(x_BND, 0, 1))
  return jnp.swapaxes(logits_NBN, 0, 1)


def conditional_logits(
  params: CausalParams, x_BND: Array, c_D: Array, form: str, num_heads: int
) -> Array:
  """Returns the logits given one confounder, [B, N], by definition."""
  z_BND = x_BND + c_D[None, None]
  if form == "pre_norm":
    z_BND = _layer_norm(z_BND, params.norm)
  return read_out(params, residual(params, z_BND, form, num_heads), form)


def residual(
  params: CausalParams, x_BND: Array, form: str, num_heads: int
) -> Array:
  """Returns y + CrossAttn(y, x, x), [B, N, D]; `linear` omits the y."""
  query = _linear(params.query_ND, params.query)[None]
  key, value = _linear(x_BND, params.key), _linear(x_BND, params.value)
  attended, _ = attend(query, key, value, num_heads)
  attended = _linear(attended, params.out)
  return attended if form == "linear" else attended + params.query_ND[None]


def value_shift(params: CausalParams, confounder_KD: Array) -> Array:
  """Returns W_o W_v c_k, [K, D]: the effect of adding c_k to every value."""
  return confounder_KD @ params.value.kernel @ params.out.kernel


def read_out(params: CausalParams, h_BND: Array, form: str) -> Array:
  """Returns the logits [B, N] from the layers after the residual."""
  if form in ("post_norm", "post_norm_ffn"):
    h_BND = _layer_norm(h_BND, params.norm)
  if form == "post_norm_ffn":
    hidden = jax.nn.relu(_linear(h_BND, params.linear1))
    h_BND = h_BND + _linear(hidden, params.linear2)
    h_BND = _layer_norm(h_BND, params.norm2)
  logits = jnp.einsum("BND,ND->BN", h_BND, params.weight_ND)
  return logits + params.bias_N[None]


def closed_form(
  params: CausalParams, u_BND: Array, d_KD: Array, weight_BK: Array, form: str
) -> Array:
  """Returns the expected logits [B, N] without an array [K, B, N, D].

  For `post_norm`, with ũ and d̃ centred over D and ŵ_j = γ ⊙ w_j:

    var_jk  = mean(ũ_j²) + mean(d̃_k²) + (2/D) ũ_j · d̃_k
    logit_j = Σ_k P_k (ŵ_j·ũ_j + ŵ_j·d̃_k) / √(var_jk + ε) + w_j·β + b_j

  For `linear` it is the logit at the mean confounder Σ_k P_k c_k.

  Args:
    params: Parameters of the causal head.
    u_BND: Output of `residual`.
    d_KD: Output of `value_shift`.
    weight_BK: Weights of the confounders, [1, K] or [B, K].
    form: 'linear' or 'post_norm'.
  """
  # 1 for a distribution, but needed for the gradient of learned weights.
  total_B1 = weight_BK.sum(-1, keepdims=True)
  if form == "linear":
    mean_BD = weight_BK @ d_KD
    shift_BN = mean_BD @ params.weight_ND.T
    return total_B1 * read_out(params, u_BND, form) + shift_BN
  # In the worst case these are differences of large terms: use full float32.
  highest = jax.lax.Precision.HIGHEST
  dim = u_BND.shape[-1]
  u_BND = u_BND - u_BND.mean(-1, keepdims=True)
  d_KD = d_KD - d_KD.mean(-1, keepdims=True)
  assert params.norm is not None, "a part that the form uses"
  scaled_ND = params.weight_ND * params.norm.scale_D[None]
  cross_BNK = jnp.einsum("BND,KD->BNK", u_BND, d_KD, precision=highest)
  var_BNK = (
    jnp.square(u_BND).mean(-1)[:, :, None]
    + jnp.square(d_KD).mean(-1)[None, None]
    + (2.0 / dim) * cross_BNK
  )
  own_BN = jnp.einsum("BND,ND->BN", u_BND, scaled_ND, precision=highest)
  shift_NK = jnp.einsum("ND,KD->NK", scaled_ND, d_KD, precision=highest)
  inverse_BNK = jax.lax.rsqrt(jnp.maximum(var_BNK, 0.0) + EPS)
  weighted_BNK = weight_BK[:, None] * inverse_BNK
  expected_BN = own_BN * weighted_BNK.sum(-1) + jnp.sum(
    weighted_BNK * shift_NK[None], -1
  )
  constant_N = params.weight_ND @ params.norm.bias_D + params.bias_N
  return expected_BN + total_B1 * constant_N[None]


def _scan(
  logits_of: Callable[[Array], Array], items_KD: Array, weight_BK: Array
) -> Array:
  """Returns Σ_k weight_k · logits_of(item_k); the gradient recomputes each."""

  def step(total_BN: Array, item: tuple) -> tuple[Array, None]:
    item_D, weight_B = item
    return total_BN + weight_B[:, None] * logits_of(item_D), None

  shape = jax.eval_shape(logits_of, items_KD[0])
  zeros = jnp.zeros(shape.shape, shape.dtype)
  total, _ = jax.lax.scan(jax.checkpoint(step), zeros, (items_KD, weight_BK.T))
  return total


def _linear(x: Array, linear: Linear | None) -> Array:
  assert linear is not None, "a part that the form uses"
  bias = linear.bias.reshape((1,) * (x.ndim - 1) + (-1,))
  return x @ linear.kernel + bias


def _layer_norm(x_BND: Array, norm: Norm | None) -> Array:
  assert norm is not None, "a part that the form uses"
  x_BND = x_BND - x_BND.mean(-1, keepdims=True)
  var = jnp.square(x_BND).mean(-1, keepdims=True)
  normed = x_BND * jax.lax.rsqrt(var + EPS)
  return normed * norm.scale_D[None, None] + norm.bias_D[None, None]
