"""Each label is shared out in proportion, reproducibly."""

import numpy as np
import pytest

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.convert import stratified_split

PARTS = (0.7, 0.15, 0.15)


@pytest.fixture
def labels(rng):
  # From rare to frequent, and a tenth of the images without any.
  drawn = rng.random((600, 12)) < np.linspace(0.005, 0.4, 12)
  drawn[rng.random(600) < 0.1] = False
  return drawn.astype(np.uint8)


def shares(labels, assigned, parts=PARTS):
  return np.stack([labels[assigned == i].sum(0) for i in range(len(parts))])


def test_labels_and_sizes_are_in_proportion(labels):
  assigned = stratified_split.assign(labels, PARTS, 0)
  assert assigned.shape == (600,)
  wanted = np.outer(PARTS, labels.sum(0))
  assert abs(shares(labels, assigned) - wanted).max() < 4
  sizes = np.bincount(assigned, minlength=3)
  np.testing.assert_allclose(sizes, 600 * np.array(PARTS), atol=4)
  empty = np.bincount(assigned[~labels.any(1)], minlength=3)
  assert (empty > 0).all()


def test_better_than_chance(labels, rng):
  wanted = np.outer(PARTS, labels.sum(0))

  def error(assigned):
    return abs(shares(labels, assigned) - wanted).sum()

  ours = [error(stratified_split.assign(labels, PARTS, s)) for s in range(5)]
  chance = [error(rng.choice(3, 600, p=PARTS)) for _ in range(20)]
  assert max(ours) < min(chance) / 2


def test_the_seed_decides(labels):
  first = stratified_split.assign(labels, PARTS, 0)
  np.testing.assert_array_equal(
    first, stratified_split.assign(labels, PARTS, 0)
  )
  assert (first != stratified_split.assign(labels, PARTS, 1)).any()


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("seed", range(5))
def test_what_is_rare_stays_in_the_largest_part(labels, count, seed):
  labels[:, 0] = 0
  labels[:count, 0] = 1
  assigned = stratified_split.assign(labels, PARTS, seed)
  assert (assigned[:count] == 0).all()


def test_by_hand():
  # Label 1 is the rarer one: one image to each half. Then label 0: each half
  # wants 2 of 4, and the halves hold as many.
  labels = np.array([[1, 0], [1, 0], [1, 0], [1, 0], [0, 1], [0, 1], [0, 0]])
  for seed in range(10):
    assigned = stratified_split.assign(labels, (0.5, 0.5), seed)
    assert sorted(assigned[4:6]) == [0, 1]
    assert np.bincount(assigned[:4]).tolist() == [2, 2]


def test_small_and_empty():
  assert stratified_split.assign(np.zeros((0, 3)), PARTS, 0).shape == (0,)
  assert stratified_split.assign(np.ones((1, 3)), PARTS, 0).tolist() == [0]
  assigned = stratified_split.assign(np.zeros((20, 3)), PARTS, 0)
  assert np.bincount(assigned).tolist() == [14, 3, 3]
  assert (stratified_split.assign(np.ones((4, 1)), (1.0,), 0) == 0).all()


@pytest.mark.parametrize("parts", [(0.7, 0.2), (1.0, 0.0), (1.2, -0.2), ()])
def test_parts(parts):
  with pytest.raises(UserError, match="that sum to 1"):
    stratified_split.assign(np.ones((4, 2)), parts, 0)
