import jax
import jax.numpy as jnp
import numpy as np

from causal_mlr_jax.nn.running_mean import RunningMean

WINDOW = 3


def test_mean_over_the_images_of_the_last_batches(rng):
  layer = RunningMean(WINDOW)
  variables = layer.init(jax.random.key(0), jnp.zeros((4, 5)), jnp.zeros(4))
  assert all(not leaf.any() for leaf in jax.tree.leaves(variables))
  kept = []
  for step in range(7):
    x = rng.normal(size=(4, 5)).astype(np.float32)
    # Batch 2 has no image that counts, and takes its place all the same.
    keep = np.zeros(4) if step == 2 else rng.random(4) < 0.6
    kept.append(x[np.asarray(keep, bool)])
    (mean, seen), variables = layer.apply(
      variables, jnp.asarray(x), jnp.asarray(keep), mutable=["running"]
    )
    last = np.concatenate(kept[-WINDOW:])
    assert bool(seen) == bool(len(last))
    np.testing.assert_allclose(mean, last.mean(0), rtol=1e-4, atol=1e-6)
    counts = variables["running"]["counts"]
    assert counts.sum() == len(last)


def test_nothing_seen_is_said_and_is_no_nan():
  layer = RunningMean(WINDOW)
  x, keep = jnp.ones((4, 5)), jnp.zeros(4)
  variables = layer.init(jax.random.key(0), x, keep)
  mean, seen = layer.apply(variables, x, keep)
  assert not seen
  assert not mean.any()


def test_it_has_no_gradient(rng):
  layer = RunningMean(WINDOW)
  x = jnp.asarray(rng.normal(size=(4, 5)), jnp.float32)
  variables = layer.init(jax.random.key(0), x, jnp.ones(4))
  grad = jax.grad(lambda x: layer.apply(variables, x, jnp.ones(4))[0].sum())(x)
  assert not grad.any()
