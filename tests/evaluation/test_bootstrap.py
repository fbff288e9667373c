import numpy as np
import pytest
from scipy import stats

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.evaluation import bootstrap
from causal_mlr_jax.evaluation.average_precision import average_precision
from causal_mlr_jax.evaluation.exclusive_cooccur import pair_average_precision

PAIRS = [(0, 1), (2, 3)]


def sample(rng, images, labels=4):
  truth = rng.random((images, labels)) < 0.3
  return (truth + rng.normal(size=truth.shape)).round(1), truth


def test_equals_resampling_the_images_one_by_one(rng):
  scores, labels = sample(rng, 120)
  got = bootstrap.standard_errors(
    scores, labels, PAIRS, np.random.default_rng(5), resamples=20
  )
  # The same draws, spelled out: repeat every image as often as it was drawn.
  counts = np.random.default_rng(5).multinomial(120, [1 / 120] * 120, size=20)
  values = {"all": [], "exclusive": [], "cooccur": []}
  for count in counts:
    index = np.repeat(np.arange(120), count)
    pair = pair_average_precision(scores[index], labels[index], PAIRS)
    values["all"].append(average_precision(scores[index], labels[index]).mean())
    values["exclusive"].append(pair.exclusive_mean)
    values["cooccur"].append(pair.cooccur_mean)
  for key, expected in values.items():
    np.testing.assert_allclose(got[key], np.std(expected, ddof=1), rtol=1e-9)


def test_error_falls_with_the_root_of_the_images(rng):
  errors = [
    bootstrap.standard_errors(*sample(rng, n), PAIRS, rng, resamples=200)["all"]
    for n in (200, 3200)
  ]
  assert 2.5 < errors[0] / errors[1] < 6


def test_rare_labels_that_vanish_from_a_draw_do_no_harm(rng):
  scores, labels = sample(rng, 50)
  labels[:, 0] = labels[:, 2] = False
  labels[0, 0] = True
  got = bootstrap.standard_errors(scores, labels, PAIRS, rng)
  assert np.isfinite(got["all"])


def test_no_pairs_are_nan(rng):
  got = bootstrap.standard_errors(*sample(rng, 50), [], rng)
  assert np.isfinite(got["all"])
  assert np.isnan(got["exclusive"])


def test_mean_interval_is_students(rng):
  values = rng.normal(size=5)
  got = bootstrap.mean_interval(values)
  low, high = stats.t.interval(
    0.95, 4, loc=values.mean(), scale=stats.sem(values)
  )
  np.testing.assert_allclose(got, [values.mean(), (high - low) / 2, low, high])


def test_one_value_has_no_interval():
  got = bootstrap.mean_interval([3.0])
  assert got.mean == 3
  assert np.isnan(got.half_width)


@pytest.mark.parametrize("values", [[], [1.0, np.nan]])
def test_interval_of_nothing_or_nan_is_an_error(values):
  with pytest.raises(UserError, match="finite"):
    bootstrap.mean_interval(values)


def test_wrong_level_and_resamples_are_named(rng):
  with pytest.raises(UserError, match="level = 95"):
    bootstrap.mean_interval([1.0, 2.0], level=95)
  with pytest.raises(UserError, match="resamples = 1"):
    bootstrap.standard_errors(*sample(rng, 9), PAIRS, rng, resamples=1)
