"""Random numbers that are compiled quickly.

A network's initial values are drawn for each parameter, and JAX's own generator
takes twenty rounds for each: half of the time in which a head is compiled. The
suite draws from a hash of a few operations instead, in its own process and in
the forks of `tests/forks.py`; programs that tests start draw as users' do.
"""

import functools
import os

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import random

# Set in the environment, so that forks draw the same numbers.
INSTALLED = "TESTS_DRAW_QUICKLY"
WORDS = {8: jnp.uint8, 16: jnp.uint16, 32: jnp.uint32}


def install():
  """Makes all keys that are made from a seed those of the quick generator."""
  jax.random.key = functools.partial(jax.random.key, impl=QUICK)
  os.environ[INSTALLED] = "1"


def _mixed(x):
  """The 32-bit finaliser of Chris Wellons' search, `lowbias32`."""
  x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
  x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
  return x ^ (x >> np.uint32(16))


def _scrambled(shape):
  """A number of its own for each place of an array."""
  places = jax.lax.iota(jnp.uint32, int(np.prod(shape))).reshape(shape)
  return _mixed(places * np.uint32(0x9E3779B9) + np.uint32(1))


def _seed(seed):
  return _mixed(jnp.reshape(seed, 1).astype(jnp.uint32) + np.uint32(77))


def _fold_in(key, data):
  return _mixed(_mixed(key) + _seed(data))


def _split(key, shape):
  key = key.reshape((1,) * len(shape) + (1,))
  return _mixed(_scrambled(shape)[..., None] ^ key)


def _bits(key, width, shape):
  bits = _mixed(_scrambled(shape) + key.reshape((1,) * len(shape)))
  return bits.astype(WORDS[width])


QUICK = random.define_prng_impl(
  key_shape=(1,),
  seed=_seed,
  split=_split,
  random_bits=_bits,
  fold_in=_fold_in,
  name="quick",
  tag="quick",
)
