"""Where the gradient of global pooling goes."""

import jax
import numpy as np

from causal_mlr_jax.nn.pooling import global_pool


def test_of_equal_maxima_the_first_gets_the_gradient():
  maps = np.zeros((2, 2, 3, 2), np.float32)
  maps[0, 1, 0, 0] = maps[0, 1, 2, 0] = 5
  grad = jax.grad(lambda x: global_pool(x, "gmp").sum())(maps)
  want = np.zeros(maps.shape)
  want[:, 0, 0] = 1
  want[0, :, :, 0] = 0
  want[0, 1, 0, 0] = 1
  np.testing.assert_array_equal(grad, want)
