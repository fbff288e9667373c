import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.training import optimizer
from configs import common
from tests.formulas import one_cycle

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
  tx = optimizer.make_optimizer(config, lambda step: rate, PARAMS, 10)
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


def trajectory(config, steps, params):
  """Returns the head after each of some steps on the loss sum(p^4) / 4."""
  schedule = optimizer.make_schedule(config, 10)
  tx = optimizer.make_optimizer(config, schedule, params, 10)
  update = jax.jit(tx.update)
  state, rows = tx.init(params), []
  for _ in range(steps):
    grads = jax.tree.map(lambda p: p**3, params)
    updates, state = update(grads, state, params)
    params = optax.apply_updates(params, updates)
    rows.append(params["head"])
  return rows


WEIGHTS = {
  "head": {
    "kernel": jnp.array([0.5, -1.0, 1.5]),
    "bias": jnp.array([1.0, -0.5]),
  }
}


def test_sgd_has_momentum_and_decay_in_the_gradient():
  config = make(
    optimizer="sgd",
    momentum=0.8,
    schedule="constant",
    learning_rate=0.05,
    weight_decay=0.1,
  )
  rows = trajectory(config, 5, WEIGHTS)
  for name, decay in (("kernel", 0.1), ("bias", 0.0)):
    p = np.asarray(WEIGHTS["head"][name], np.float64)
    moment = np.zeros_like(p)
    for row in rows:
      moment = 0.8 * moment + p**3 + decay * p
      p = p - 0.05 * moment
      np.testing.assert_allclose(row[name], p, rtol=1e-5)


def adam(p, rates, b1s, b2=0.999, coupled=0.0, decoupled=0.0):
  p = np.asarray(p, np.float64)
  first = second = np.zeros_like(p)
  for t, (rate, b1) in enumerate(zip(rates, b1s, strict=True), 1):
    grad = p**3 + coupled * p
    first = b1 * first + (1 - b1) * grad
    second = b2 * second + (1 - b2) * grad**2
    ratio = first / (1 - b1**t) / (np.sqrt(second / (1 - b2**t)) + 1e-8)
    p = p - rate * (ratio + decoupled * p)
    yield p


@pytest.mark.parametrize(
  ("name", "kind"), [("adam", "coupled"), ("adamw", "decoupled")]
)
def test_decay_is_coupled_in_adam_and_decoupled_in_adamw(name, kind):
  config = make(
    optimizer=name,
    schedule="constant",
    learning_rate=0.05,
    weight_decay=0.5,
  )
  rows = trajectory(config, 5, WEIGHTS)
  for leaf, decay in (("kernel", 0.5), ("bias", 0.0)):
    want = adam(WEIGHTS["head"][leaf], 5 * [0.05], 5 * [0.9], **{kind: decay})
    for row, p in zip(rows, want, strict=True):
      np.testing.assert_allclose(row[leaf], p, rtol=1e-5)


def test_decay_is_added_after_clipping():
  config = make(
    optimizer="sgd",
    momentum=0.0,
    clip_norm=1e-6,
    weight_decay=0.5,
    weight_decay_rules=((".*", 1.0),),
  )
  grads = jax.tree.map(lambda p: 1e6 * jnp.ones_like(p), PARAMS)
  updates = first_update(config, grads)
  np.testing.assert_allclose(updates["head"]["bias"], -0.1, rtol=1e-4)


def test_momentum_cycles_against_the_rate():
  config = make(warmup=0.2, cycle_momentum=True)
  momentum = optimizer.make_momentum(config, 100)
  for step, value in ((0, 0.95), (19, 0.85), (99, 0.95), (59, 0.9)):
    assert float(momentum(step)) == pytest.approx(value, abs=1e-6)
  for step in range(100):
    want = one_cycle(step, 100, 0.2, 0.95, 0.85, 0.95)
    assert float(momentum(step)) == pytest.approx(want, abs=1e-6)
  assert optimizer.make_momentum(make(adam_b1=0.7), 100) == 0.7
  config = make(optimizer="sgd", momentum=0.6)
  assert optimizer.make_momentum(config, 100) == 0.6


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adam_takes_the_beta1_of_its_step(name):
  config = make(
    optimizer=name, learning_rate=0.1, warmup=0.4, cycle_momentum=True
  )
  rows = trajectory(config, 10, WEIGHTS)
  rates = [one_cycle(s, 10, 0.4, 0.1 / 25, 0.1, 4e-7) for s in range(10)]
  b1s = [one_cycle(s, 10, 0.4, 0.95, 0.85, 0.95) for s in range(10)]
  want = adam(WEIGHTS["head"]["kernel"], rates, b1s)
  for row, p in zip(rows, want, strict=True):
    np.testing.assert_allclose(row["kernel"], p, rtol=1e-4)


def test_sgd_takes_the_momentum_of_its_step():
  config = make(
    optimizer="sgd", learning_rate=0.1, warmup=0.4, cycle_momentum=True
  )
  rows = trajectory(config, 10, WEIGHTS)
  p = np.asarray(WEIGHTS["head"]["kernel"], np.float64)
  moment = np.zeros_like(p)
  for step, row in enumerate(rows):
    moment = one_cycle(step, 10, 0.4, 0.95, 0.85, 0.95) * moment + p**3
    p = p - one_cycle(step, 10, 0.4, 0.1 / 25, 0.1, 4e-7) * moment
    np.testing.assert_allclose(row["kernel"], p, rtol=1e-4)


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("cycles", [False, True])
def test_the_state_keeps_its_form_and_goes_on_when_restored(
  name, cycles, tmp_path
):
  config = make(optimizer=name, cycle_momentum=cycles)
  schedule = optimizer.make_schedule(config, 10)
  tx = optimizer.make_optimizer(config, schedule, PARAMS, 10)
  start = tx.init(PARAMS)
  grads = jax.tree.map(lambda p: p**3, PARAMS)
  _, state = tx.update(grads, start, PARAMS)

  def form(tree):
    assert all(isinstance(x, jax.Array) for x in jax.tree.leaves(tree))
    return jax.tree.map(lambda x: (x.shape, x.dtype), tree)

  assert form(start) == form(state)
  with ocp.StandardCheckpointer() as checkpointer:
    checkpointer.save(tmp_path / "state", state)
    checkpointer.wait_until_finished()
    restored = checkpointer.restore(tmp_path / "state", start)
  for a, b in zip(
    jax.tree.leaves(tx.update(grads, state, PARAMS)),
    jax.tree.leaves(tx.update(grads, restored, PARAMS)),
    strict=True,
  ):
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
  ("overrides", "words"),
  [
    ({"schedule": "onecycle"}, "Did you mean 'one_cycle'"),
    ({"schedule": "poly"}, "Choices: constant, cosine, one_cycle, step"),
    ({"warmup": 1.5}, "train.warmup = 1.5"),
    ({"optimizer": "adagrad"}, "Choices: adam, adamw, sgd"),
    ({"schedule": "step"}, r"train.step_at = \(\): expected at least one"),
    ({"schedule": "step", "step_at": (0.5, 30)}, r"\(0.5, 30\): expected"),
    ({"schedule": "step", "step_at": ("a",)}, r"\('a',\): expected"),
    (
      {"schedule": "step", "step_at": (0.5,), "step_factor": 0.0},
      "train.step_factor = 0.0",
    ),
    ({"schedule": "cosine", "cycle_momentum": True}, "train.cycle_momentum"),
  ],
)
def test_mistakes_are_named(overrides, words):
  with pytest.raises(UserError, match=words):
    optimizer.check(make(**overrides))


def test_the_defaults_have_no_mistakes():
  optimizer.check(common.train())


def test_a_rule_for_no_parameter_is_an_error():
  config = make(weight_decay_rules=(("neck/.*", 0.0), (".*", 1.0)))
  with pytest.raises(UserError, match=r"train\.weight_decay_rules.*neck"):
    optimizer.make_optimizer(config, lambda step: 0.1, PARAMS, 10)
