"""Label states are what their definition says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data import known_labels


@given(st.integers(1, 40), st.integers(0, 2**31))
def test_drawn_states_tell_the_truth(count, seed):
  rng = np.random.default_rng(seed)
  labels = (rng.random(count) < 0.3).astype(np.float32)
  state = known_labels.random_label_state()(0, labels, rng)
  known = state != known_labels.UNKNOWN
  assert state.dtype == np.int32
  np.testing.assert_array_equal(state[known], labels[known])
  assert known.sum() <= 3 * count // 4


def test_drawn_states_are_uniform():
  count, draws = 8, 7000
  rng = np.random.default_rng(0)
  draw = known_labels.random_label_state()
  labels = np.ones(count, np.float32)
  known = np.stack([draw(0, labels, rng) >= 0 for _ in range(draws)])
  sizes = np.bincount(known.sum(1), minlength=count + 1) / draws
  # 0..6 known labels, each number as often, and each label as often: within
  # five standard deviations.
  np.testing.assert_allclose(sizes[:7], 1 / 7, atol=0.021)
  assert (sizes[7:] == 0).all()
  np.testing.assert_allclose(known.mean(0), 3 / 8, atol=0.03)


@given(
  st.integers(0, 99), st.integers(1, 120), st.integers(0, 10**6), st.data()
)
def test_known_states_depend_on_the_image_alone(percent, count, index, data):
  draw = known_labels.known_label_state(percent / 100)
  labels = np.asarray(
    data.draw(st.lists(st.sampled_from([0, 1]), min_size=count, max_size=count))
  )
  one = draw(index, labels, np.random.default_rng(1))
  known = one >= 0
  assert known.sum() == percent * count // 100
  np.testing.assert_array_equal(one[known], labels[known])
  # Neither the generator nor the labels choose.
  rng = np.random.default_rng(data.draw(st.integers(0, 9)))
  other = draw(index, 1 - labels, rng)
  np.testing.assert_array_equal(other >= 0, known)
  np.testing.assert_array_equal(other[known], 1 - labels[known])


def test_known_states_differ_between_images():
  draw = known_labels.known_label_state(0.5)
  labels, rng = np.ones(30), np.random.default_rng(0)
  states = {tuple(draw(index, labels, rng)) for index in range(20)}
  assert len(states) == 20


@pytest.mark.parametrize("part", [-0.1, 1.0, 2.0, float("nan")])
def test_known_part_outside_of_its_range(part):
  with pytest.raises(UserError, match=r"method\.known_labels = .*below 1"):
    known_labels.known_label_state(part)
