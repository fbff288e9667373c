"""Drops and rates of scores by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.studies.effects import score_changes


def test_a_mean_drop_by_hand():
  before = np.array([[0.9, 0.5], [0.7, 0.5], [0.1, 0.5]])
  after = np.array([[0.4, 0.6], [0.6, np.nan], [0.9, 0.5]])
  chosen = np.array([[1, 1], [1, 0], [0, 0]])
  drop, count = score_changes.mean_drop(before, after, chosen)
  np.testing.assert_allclose(drop, [0.3, -0.1])
  np.testing.assert_array_equal(count, [2, 1])
  drop, count = score_changes.mean_drop(before, after, np.zeros((3, 2)))
  assert np.isnan(drop).all()
  assert (count == 0).all()


scores = hnp.arrays(np.float64, (6, 3), elements=st.floats(0, 1))
choices = hnp.arrays(bool, (6, 3))


@given(scores, scores, choices)
def test_a_drop_the_other_way_is_a_gain(before, after, chosen):
  there, count = score_changes.mean_drop(before, after, chosen)
  back, _ = score_changes.mean_drop(after, before, chosen)
  np.testing.assert_allclose(there, -back, atol=1e-12)
  same, _ = score_changes.mean_drop(before, before, chosen)
  assert (same[count > 0] == 0).all()


@given(scores, choices, choices)
def test_rates_are_parts_of_the_images_without_the_label(values, has, home):
  got = score_changes.false_positive_rates(values, has, home)
  for n in range(3):
    for where, rate in ((home, got.home_N), (~home, got.elsewhere_N)):
      images = values[~has[:, n] & where[:, n], n]
      if images.size:
        assert rate[n] == pytest.approx((images > 0.5).mean())
      else:
        assert np.isnan(rate[n])


def test_means_leave_out_what_is_not_known():
  assert score_changes.mean(np.array([1, np.nan, 2])) == 1.5
  assert np.isnan(score_changes.mean(np.array([np.nan])))
  assert np.isnan(score_changes.mean(np.array([])))


def test_shapes_are_checked():
  flat, wide = np.zeros((2, 3)), np.zeros((2, 4))
  with pytest.raises(UserError, match=r"\(2, 3\), \(2, 3\), \(2, 4\)"):
    score_changes.mean_drop(flat, flat, wide)
  with pytest.raises(UserError, match="one shape"):
    score_changes.false_positive_rates(flat, wide, flat)
