"""Bilinear resizing with aligned corners."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causal_mlr_jax.nn.resize import aligned_matrix, resize_aligned


@pytest.mark.parametrize("grid", [(7, 5), (2, 9), (4, 3), (6, 6)])
def test_corners_stay_where_they_are(grid):
  x = jax.random.normal(jax.random.key(0), (2, 4, 3, 5))
  y = resize_aligned(x, grid)
  assert y.shape == (2, *grid, 5)
  for corner in [(0, 0), (0, -1), (-1, 0), (-1, -1)]:
    np.testing.assert_allclose(
      y[:, corner[0], corner[1]], x[:, corner[0], corner[1]], atol=1e-6
    )


def test_a_plane_stays_a_plane():
  rows, columns = np.mgrid[0:1:4j, 0:1:3j]
  plane = jnp.asarray(2 * rows - columns, jnp.float32)[None, ..., None]
  rows, columns = np.mgrid[0:1:9j, 0:1:6j]
  got = resize_aligned(plane, (9, 6))[0, ..., 0]
  np.testing.assert_allclose(got, 2 * rows - columns, atol=1e-6)


def test_known_numbers_of_one_axis():
  np.testing.assert_allclose(
    aligned_matrix(3, 5),
    [[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 1]],
  )
  np.testing.assert_allclose(aligned_matrix(4, 1), [[1, 0, 0, 0]])
  np.testing.assert_allclose(aligned_matrix(1, 3), [[1], [1], [1]])


def test_the_same_grid_is_left_alone():
  x = jax.random.normal(jax.random.key(0), (1, 3, 4, 2), jnp.bfloat16)
  y = resize_aligned(x, (3, 4))
  assert y.dtype == jnp.bfloat16
  np.testing.assert_array_equal(x, y)
