"""The positions of the decoder; its parity is checked with all others."""

import numpy as np

from causal_mlr_jax.nn import position


def test_positions_equal_the_published_table(golden):
  table = golden("q2l")["state/backbone.1.pe"][0]
  dim, height, width = table.shape
  got = position.sine_2d(height, width, dim)
  np.testing.assert_allclose(
    got, table.reshape(dim, -1).T, rtol=1e-4, atol=1e-5
  )


def test_positions_of_a_grid_that_is_not_square():
  table = position.sine_2d(3, 5, 8).reshape(3, 5, 8)
  assert (table[:, :1, :4] == table[..., :4]).all()
  assert (table[:1, :, 4:] == table[..., 4:]).all()
  assert len(np.unique(table.reshape(15, 8), axis=0)) == 15
