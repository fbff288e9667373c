"""The metric that is used here; its module hides its fields from checkers."""

import jax

class Average:
  """A sum and a count, on the devices or fetched."""

  total: jax.Array | float
  count: jax.Array | float

  def __init__(
    self, total: jax.Array | float, count: jax.Array | float
  ) -> None: ...
  @classmethod
  def from_model_output(
    cls, values: jax.Array, mask: jax.Array | None = ...
  ) -> Average: ...
  def merge(self, other: Average) -> Average: ...
  def compute(self) -> jax.Array: ...
