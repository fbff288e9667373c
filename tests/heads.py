"""Heads as compiled functions: op by op, each op would be compiled alone."""

from functools import partial

import jax


@partial(jax.jit, static_argnames=("head", "train"))
def init(head, key, features, side, train=False):
  """Returns a head's variables; `key` may be a dict of several."""
  return head.init(key, features, side, train=train)


@partial(jax.jit, static_argnames=("head", "train", "mutable"))
def apply(head, variables, features, side, train=False, mutable=(), rngs=None):
  """Returns a head's output, and what is mutable if anything is."""
  options = {"mutable": list(mutable)} if mutable else {}
  return head.apply(
    variables, features, side, train=train, rngs=rngs, **options
  )
