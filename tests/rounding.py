"""Matrix products as an accelerator rounds them, on a CPU.

By default a GPU multiplies float32 matrices in TF32, which keeps 10 bits of
each factor's mantissa, and a TPU in bfloat16, which keeps 7; both add up in
float32. A CPU does neither, so the factors are rounded here, in every product
of a function that does not ask for more.
"""

import jax
import numpy as np
from jax.extend import core as jex_core

TF32, BF16 = 10, 7
FULL = (jax.lax.Precision.HIGHEST, jax.lax.Precision.HIGH)


def rounded(x, bits):
  """Rounds float32 to so many bits of mantissa, to nearest, ties to even."""
  exponent_bits = 8
  return jax.lax.reduce_precision(x, exponent_bits, bits)


def with_rounded_products(function, bits):
  """Returns the function with the factors of its products rounded.

  Gradients are rounded too if the function takes them: apply it to the
  function that does.
  """

  def run(*args):
    flat, structure = jax.tree.flatten(args)
    closed, shape = jax.make_jaxpr(
      lambda *leaves: function(*jax.tree.unflatten(structure, leaves)),
      return_shape=True,
    )(*flat)
    out = _evaluate(closed.jaxpr, closed.consts, flat, bits)
    return jax.tree.unflatten(jax.tree.structure(shape), out)

  return run


def _evaluate(jaxpr, consts, args, bits):
  values = {}

  def read(x):
    return x.val if isinstance(x, jex_core.Literal) else values[x]

  values |= zip(jaxpr.constvars, consts, strict=True)
  values |= zip(jaxpr.invars, args, strict=True)
  for eqn in jaxpr.eqns:
    given = [read(x) for x in eqn.invars]
    name = eqn.primitive.name
    inner = eqn.params.get("jaxpr") or eqn.params.get("call_jaxpr")
    if name == "dot_general" and not _asks_for_more(eqn):
      given = [rounded(x, bits) for x in given]
    if inner is not None:
      assert name not in ("scan", "while"), name  # not needed here
      out = _evaluate(inner.jaxpr, inner.consts, given, bits)
    else:
      out = eqn.primitive.bind(*given, **eqn.params)
      out = out if eqn.primitive.multiple_results else [out]
    values |= zip(eqn.outvars, out, strict=True)
  return [read(x) for x in jaxpr.outvars]


def _asks_for_more(eqn):
  precision = eqn.params["precision"]
  precision = precision if isinstance(precision, tuple) else (precision,)
  return all(p in FULL for p in precision)


def relative(a, b):
  """The norm of a difference, over that of the second."""
  a, b = np.asarray(a), np.asarray(b)
  return float(np.linalg.norm(a - b) / np.linalg.norm(b))
