"""Linear layers initialised like those of the published classifiers."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

from causal_mlr_jax.core.types import Array
from causal_mlr_jax.nn.heads.label_linear import symmetric_uniform


class UniformDense(nn.Module):
  """y = x · kernel + bias, both initialised from U(-1/sqrt(C), 1/sqrt(C)).

  Attributes:
    features: Width of the result.
    use_bias: Whether there is a bias.
    learn_bias: Whether the bias is trained. False is for a bias that a later
      normalisation cancels: its gradient would be nothing but rounding error.
    dtype: Dtype of the product's operands.
    out_dtype: Dtype of the result; None uses `dtype`.
  """

  features: int
  use_bias: bool = True
  learn_bias: bool = True
  dtype: jnp.dtype = jnp.float32
  out_dtype: jnp.dtype | None = None

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps [..., C] to [..., features]."""
    width = x.shape[-1]
    init = symmetric_uniform(width**-0.5)
    kernel = self.param("kernel", init, (width, self.features))
    out_dtype = self.dtype if self.out_dtype is None else self.out_dtype
    y = jnp.matmul(
      x.astype(self.dtype),
      kernel.astype(self.dtype),
      preferred_element_type=out_dtype,
    )
    if not self.use_bias:
      return y
    bias = self.param("bias", init, (self.features,))
    bias = bias if self.learn_bias else lax.stop_gradient(bias)
    return y + bias.astype(out_dtype).reshape((1,) * (y.ndim - 1) + (-1,))
