import numpy as np
import pytest

from causal_mlr_jax.reports.page import choose_images, thumbnails
from causal_mlr_jax.reports.page.choose_images import Error, Scored


@pytest.fixture
def found():
  scores = [
    [0.9, 0.1, 0.8],
    [0.2, 0.1, 0.9],
    [0.3, 0.0, 0.1],
    [0.1, 0.9, 0.7],
    [0.6, 0.0, 0.2],
  ]
  labels = [[0, 1, 1], [1, 0, 1], [1, 0, 0], [1, 1, 0], [0, 1, -1]]
  return Scored(np.array(scores), np.array(labels), np.full(3, 0.5))


def test_images_of_a_pair(found):
  assert choose_images.missed_exclusives(found, 0, 1, 4) == [1, 2]
  assert choose_images.missed_exclusives(found, 0, 1, 1) == [1]
  assert choose_images.false_on_context(found, 0, 1, 4) == [0, 4]


def test_confident_errors_differ_in_image_and_label(found):
  chosen = choose_images.confident_errors(found, 9)
  # 0.9 on what is not there, and 0.9 on what is, come first; label 0 twice.
  assert chosen[0] == Error(4, 1)
  assert len({error.image for error in chosen}) == len(chosen)
  assert max(np.bincount([error.label for error in chosen])) <= 2
  right = found._replace(labels_BN=found.predicted().astype(int))
  assert choose_images.confident_errors(right, 9) == []
  unknown = found._replace(labels_BN=np.full((5, 3), -1))
  assert choose_images.confident_errors(unknown, 9) == []


def test_varied_images_show_new_labels(found):
  assert choose_images.varied(found, 2, 4) == [1, 3]
  assert choose_images.varied(found, 9, 4) == [1, 3]
  none = found._replace(thresholds_N=np.ones(3))
  assert choose_images.varied(none, 2, 4) == []


@pytest.mark.parametrize(
  ("positions", "height", "width", "grid"),
  [
    (64, 64, 64, (8, 8)),
    (98, 224, 448, (7, 14)),
    (6, 448, 672, (2, 3)),
    (197, 224, 224, None),
  ],
)
def test_the_grid_of_a_map(positions, height, width, grid):
  assert thumbnails.grid_of(positions, height, width) == grid


def test_thumbnails_are_small(rng):
  noise = rng.integers(0, 256, (600, 300, 3), dtype=np.uint8)
  assert len(thumbnails.encode(noise)) < 20_000
  mixed = thumbnails.with_map(noise, rng.normal(size=(14, 7)))
  assert mixed.shape == (128, 64, 3)
  flat = thumbnails.with_map(noise, np.zeros((14, 7)))
  assert flat.dtype == np.uint8
