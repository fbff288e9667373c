import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from causal_mlr_jax.training import optimizer
from configs import common
from tests.formulas import one_cycle


def make(**overrides):
  config = common.train()
  config.update(overrides)
  return config


@given(
  total=st.integers(2, 400),
  turn=st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5]),
)
def test_one_cycle_is_that_of_pytorch(total, turn):
  config = make(learning_rate=0.3, warmup=turn)
  schedule = optimizer.make_schedule(config, total)
  assume(turn * total != 1)  # PyTorch divides by 0
  steps = np.linspace(0, total - 1, 40).round().astype(np.int32)
  got = schedule(steps)
  want = [
    one_cycle(step, total, turn, 0.3 / 25, 0.3, 0.3 / 25 / 1e4)
    for step in steps
  ]
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-7)


def test_one_cycle_rises_to_the_peak_and_falls_to_almost_nothing():
  config = make(learning_rate=1.0, warmup=0.2)
  schedule = optimizer.make_schedule(config, 100)
  assert float(schedule(0)) == pytest.approx(1 / 25)
  assert float(schedule(19)) == pytest.approx(1.0)
  assert float(schedule(99)) == pytest.approx(1 / 25 / 1e4, rel=1e-3)
  assert float(schedule(150)) == float(schedule(99))
  rates = [float(schedule(i)) for i in range(100)]
  assert np.argmax(rates) == 19
  # One step of rising is none: it starts at the peak.
  schedule = optimizer.make_schedule(config, 5)
  assert float(schedule(0)) == pytest.approx(1.0)


def test_cosine_rises_in_a_line_and_falls_to_zero():
  config = make(learning_rate=1.0, warmup=0.1, schedule="cosine")
  schedule = optimizer.make_schedule(config, 100)
  assert float(schedule(0)) == 0
  assert float(schedule(5)) == pytest.approx(0.5)
  assert float(schedule(10)) == pytest.approx(1.0)
  assert float(schedule(55)) == pytest.approx(0.5)
  assert float(schedule(100)) == pytest.approx(0.0, abs=1e-6)


def test_steps_multiply_the_rate_at_parts_of_the_training():
  config = make(
    schedule="step", learning_rate=2.0, step_at=(0.6, 0.8), step_factor=0.1
  )
  schedule = optimizer.make_schedule(config, 50)
  got = [float(schedule(step)) for step in range(50)]
  want = 30 * [2.0] + 10 * [0.2] + 10 * [0.02]
  np.testing.assert_allclose(got, want, rtol=1e-6)
  # 0.29 * 100 is a little less than 29.
  config = make(schedule="step", learning_rate=1.0, step_at=(0.29,))
  schedule = optimizer.make_schedule(config, 100)
  assert float(schedule(28)) == 1
  assert float(schedule(29)) == pytest.approx(0.1)
  # Steps that fall together, in a training too short, all count.
  config = make(schedule="step", learning_rate=1.0, step_at=(0.9, 1.0, 0.95))
  assert float(optimizer.make_schedule(config, 2)(2)) == pytest.approx(1e-3)


def test_constant_is_constant():
  schedule = optimizer.make_schedule(
    make(schedule="constant", learning_rate=0.3), 10
  )
  assert [float(schedule(step)) for step in (0, 5, 10)] == 3 * [0.3]
