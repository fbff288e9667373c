import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.training import optimizer
from configs import common

PARAMS = {
  "backbone": {"conv": {"kernel": jnp.full((2, 2), 2.0)}},
  "head": {"kernel": jnp.full((2,), 2.0), "bias": jnp.full((2,), 2.0)},
}


def make(**overrides):
  config = common.train()
  config.update(clip_norm=0.0, weight_decay=0.0)
  config.update(overrides)
  return config


def first_update(config, grads, rate=0.1):
  tx = optimizer.make_optimizer(config, lambda step: rate, PARAMS)
  updates, _ = tx.update(grads, tx.init(PARAMS), PARAMS)
  return updates


def test_without_extras_it_is_adam():
  grads = jax.tree.map(lambda p: 0.3 * p, PARAMS)
  tx = optax.adam(0.1, 0.9, 0.999)
  want, _ = tx.update(grads, tx.init(PARAMS), PARAMS)
  got = first_update(make(), grads)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-6), got, want)


def test_rules_freeze_slow_down_and_spare_from_decay():
  zero = jax.tree.map(jnp.zeros_like, PARAMS)
  config = make(
    weight_decay=0.5,
    learning_rate_rules=(("backbone/.*", 0.1), (".*", 1.0)),
    weight_decay_rules=((".*/bias", 0.0), (".*", 1.0)),
  )
  updates = first_update(config, zero)
  np.testing.assert_allclose(updates["head"]["bias"], 0)
  np.testing.assert_allclose(updates["head"]["kernel"], -0.1 * 0.5 * 2)
  np.testing.assert_allclose(
    updates["backbone"]["conv"]["kernel"], -0.01 * 0.5 * 2, rtol=1e-6
  )
  config = make(learning_rate_rules=(("backbone/.*", 0.0), (".*", 1.0)))
  ones = jax.tree.map(jnp.ones_like, PARAMS)
  updates = first_update(config, ones)
  np.testing.assert_allclose(updates["backbone"]["conv"]["kernel"], 0)
  assert (updates["head"]["kernel"] != 0).all()


def test_the_gradient_is_clipped_as_a_whole():
  grads = jax.tree.map(lambda p: 1e6 * jnp.ones_like(p), PARAMS)
  clipped = first_update(make(clip_norm=1e-9), grads)
  # Far below Adam's epsilon, so the step is far below the learning rate.
  assert float(jnp.abs(clipped["head"]["kernel"]).max()) < 0.01
  free = first_update(make(), grads)
  np.testing.assert_allclose(free["head"]["kernel"], -0.1, rtol=1e-4)


def test_one_cycle_rises_to_the_peak_and_falls_to_almost_nothing():
  config = make(learning_rate=1.0, warmup=0.2)
  schedule = optimizer.make_schedule(config, 100)
  assert float(schedule(0)) == pytest.approx(1 / 25)
  assert float(schedule(20)) == pytest.approx(1.0)
  assert float(schedule(100)) == pytest.approx(1 / 25 / 1e4, rel=1e-3)
  rates = [float(schedule(i)) for i in range(101)]
  assert np.argmax(rates) == 20


def test_cosine_rises_in_a_line_and_falls_to_zero():
  config = make(learning_rate=1.0, warmup=0.1, schedule="cosine")
  schedule = optimizer.make_schedule(config, 100)
  assert float(schedule(0)) == 0
  assert float(schedule(5)) == pytest.approx(0.5)
  assert float(schedule(10)) == pytest.approx(1.0)
  assert float(schedule(55)) == pytest.approx(0.5)
  assert float(schedule(100)) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
  ("overrides", "words"),
  [
    ({"schedule": "onecycle"}, "Did you mean 'one_cycle'"),
    ({"warmup": 1.5}, "train.warmup = 1.5"),
  ],
)
def test_mistakes_are_named(overrides, words):
  with pytest.raises(UserError, match=words):
    optimizer.make_schedule(make(**overrides), 10)


def test_a_rule_for_no_parameter_is_an_error():
  config = make(weight_decay_rules=(("neck/.*", 0.0), (".*", 1.0)))
  with pytest.raises(UserError, match=r"train\.weight_decay_rules.*neck"):
    optimizer.make_optimizer(config, lambda step: 0.1, PARAMS)
