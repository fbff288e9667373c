"""The two forms of a method whose published code departs from its paper."""

from __future__ import annotations

from causal_mlr_jax.core.lookup import check_name

CORRECTED, PUBLISHED = "corrected", "published"


def check_variant(variant: str) -> None:
  """Raises unless `variant` is 'corrected' or 'published'.

  Args:
    variant: of a method's `Head`.

  Raises:
    UserError: it is another.
  """
  check_name("method.variant", variant, (CORRECTED, PUBLISHED))
