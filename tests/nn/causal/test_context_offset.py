import jax
import jax.numpy as jnp
import numpy as np
import optax
from hypothesis import given
from hypothesis import strategies as st

from causal_mlr_jax.nn.causal.context_offset import ContextOffset

PRIOR = jnp.asarray([0.5, 0.25, 0.25])


def apply(params, share):
  return ContextOffset(2).apply({"params": params}, share, PRIOR)


def random_params(seed):
  rng = np.random.default_rng(seed)
  draw = {"weight": (3, 2), "bias": (2,)}
  return {k: jnp.asarray(rng.normal(size=v)) for k, v in draw.items()}


def shares(seed, count):
  drawn = np.random.default_rng(seed).dirichlet(np.ones(3), count)
  return jnp.asarray(drawn, jnp.float32)


@given(seed=st.integers(0, 1000))
def test_it_averages_to_nothing_over_the_prior(seed):
  params = random_params(seed)
  one_hot, _ = apply(params, jnp.eye(3))
  np.testing.assert_allclose(PRIOR @ one_hot, 0, atol=1e-5)
  offset, logits = apply(params, PRIOR[None])
  np.testing.assert_allclose(offset, 0, atol=1e-5)
  np.testing.assert_allclose(logits[0], params["bias"], atol=1e-5)


@given(seed=st.integers(0, 1000))
def test_it_is_linear_in_the_shares(seed):
  params, share = random_params(seed), shares(seed, 4)
  (mean, _), (each, _) = (
    apply(params, share.mean(0)[None]),
    apply(params, share),
  )
  np.testing.assert_allclose(mean[0], each.mean(0), rtol=1e-4, atol=1e-4)


def test_it_learns_the_log_odds_that_the_context_explains():
  # In contexts 0, 1, 2 the first label has these probabilities.
  chance = np.asarray([0.9, 0.2, 0.5])
  rng = np.random.default_rng(0)
  context = rng.integers(0, 3, 4000)
  labels = rng.random((4000, 2)) < np.stack(
    [chance[context], 0.5 + 0 * context], 1
  )
  share, labels = jnp.eye(3)[context], jnp.asarray(labels, jnp.float32)
  params = {"weight": jnp.zeros((3, 2)), "bias": jnp.zeros(2)}
  optimizer = optax.adam(1e-2)
  state = optimizer.init(params)

  @jax.jit
  def step(params, state):
    def loss(params):
      _, logits = apply(params, share)
      return optax.sigmoid_binary_cross_entropy(logits, labels).mean()

    updates, state = optimizer.update(jax.grad(loss)(params), state)
    return optax.apply_updates(params, updates), state

  for _ in range(500):
    params, state = step(params, state)
  _, logits = apply(params, jnp.eye(3))
  np.testing.assert_allclose(jax.nn.sigmoid(logits[:, 0]), chance, atol=0.04)
  np.testing.assert_allclose(jax.nn.sigmoid(logits[:, 1]), 0.5, atol=0.04)
