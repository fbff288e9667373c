"""The causal head, which computes the score of each label under do(X)."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from causal_mlr_jax.core.types import Array
from causal_mlr_jax.nn.causal import confounder_expectation as expectation_lib
from causal_mlr_jax.nn.causal.confounder_expectation import (
  CausalParams,
  Linear,
  Norm,
)
from causal_mlr_jax.nn.heads.label_linear import symmetric_uniform


class CausalHead(nn.Module):
  """The causal score of each label: an expectation over confounders.

  Attributes:
    num_heads: Number of attention heads A.
    hidden: Feed-forward width F, for 'post_norm_ffn' only.
    intervention: Layers after the attention, one of
      `confounder_expectation.FORMS`.
    expectation: Way to compute the expectation, one of
      `confounder_expectation.EXPECTATIONS`.
  """

  num_heads: int
  hidden: int
  intervention: str
  expectation: str

  def _linear(
    self, name: str, dim_in: int, dim_out: int, bias: bool = True
  ) -> Linear:
    init, zeros = nn.initializers.xavier_uniform(), nn.initializers.zeros
    kernel = self.param(f"{name}_kernel", init, (dim_in, dim_out))
    # Softmax ignores a bias of the keys, so they have none.
    if not bias:
      return Linear(kernel, jnp.zeros(dim_out, jnp.float32))
    return Linear(kernel, self.param(f"{name}_bias", zeros, (dim_out,)))

  def _norm(self, name: str, dim: int) -> Norm:
    return Norm(
      self.param(f"{name}_scale", nn.initializers.ones, (dim,)),
      self.param(f"{name}_bias", nn.initializers.zeros, (dim,)),
    )

  @nn.compact
  def __call__(
    self,
    x_BND: Array,
    query_ND: Array,
    confounder_KD: Array,
    weight_BK: Array,
    *,
    single_key: bool = False,
  ) -> Array:
    """Returns the expected logits [B, N], float32.

    Args:
      x_BND: Label-specific features X.
      query_ND: Label queries y.
      confounder_KD: Projected confounders.
      weight_BK: P(c), [1, K], or one distribution per image, [B, K].
      single_key: Whether each label's feature in turn is the only key; the
        result is then [B, N (label of the key), N].
    """
    num_labels, dim = query_ND.shape
    ffn = self.intervention == "post_norm_ffn"
    normed = self.intervention != "linear"
    init = symmetric_uniform(dim**-0.5)
    params = CausalParams(
      query_ND=query_ND,
      query=self._linear("query", dim, dim),
      key=self._linear("key", dim, dim, bias=False),
      value=self._linear("value", dim, dim),
      out=self._linear("out", dim, dim),
      norm=self._norm("norm", dim) if normed else None,
      linear1=self._linear("linear1", dim, self.hidden) if ffn else None,
      linear2=self._linear("linear2", self.hidden, dim) if ffn else None,
      norm2=self._norm("norm2", dim) if ffn else None,
      weight_ND=self.param("weight", init, (num_labels, dim)),
      bias_N=self.param("bias", init, (num_labels,)),
    )
    logits_of = (
      expectation_lib.single_key_logits
      if single_key
      else expectation_lib.expected_logits
    )
    return logits_of(
      params,
      x_BND,
      confounder_KD,
      weight_BK,
      form=self.intervention,
      expectation=self.expectation,
      num_heads=self.num_heads,
    )
