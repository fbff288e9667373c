import json

import jax
import numpy as np
import pytest

from causal_mlr_jax.nn.position import resize_grid


def test_agrees_with_reference(golden):
  arrays = golden("beit3_position_resize")
  meta = json.loads(str(arrays["meta"]))
  table, grid = arrays["input/table"], (meta["grid"], meta["grid"])
  lead = len(table) - meta["grid"] ** 2
  for side in meta["targets"]:
    got = resize_grid(table[lead:], grid, (side, side))
    expected = arrays[f"output/table_{side}"]
    assert got.dtype == np.float32
    np.testing.assert_array_equal(table[:lead], expected[:lead])
    np.testing.assert_allclose(got, expected[lead:], rtol=0, atol=2e-5)


def test_the_same_grid_stays_and_a_constant_too(rng):
  table = rng.normal(size=(6, 4))
  np.testing.assert_allclose(resize_grid(table, (2, 3), (2, 3)), table)
  ones = resize_grid(np.ones((6, 2), np.float16), (2, 3), (5, 7))
  assert ones.dtype == np.float32
  np.testing.assert_allclose(ones, np.ones((35, 2)), rtol=1e-6)


def test_each_axis_by_itself(rng):
  table = rng.normal(size=(12, 2))
  both = resize_grid(table, (3, 4), (5, 9))
  rows = resize_grid(table, (3, 4), (5, 4))
  np.testing.assert_allclose(resize_grid(rows, (5, 4), (5, 9)), both)
  turned = table.reshape(3, 4, 2).swapaxes(0, 1).reshape(12, 2)
  turned = resize_grid(turned, (4, 3), (9, 5)).reshape(9, 5, 2)
  np.testing.assert_allclose(turned.swapaxes(0, 1).reshape(45, 2), both)


def test_is_another_rule_than_that_of_jax(rng):
  table = rng.normal(size=(16, 1)).astype(np.float32)
  got = resize_grid(table, (4, 4), (6, 6))
  other = jax.image.resize(
    table.reshape(4, 4, 1), (6, 6, 1), "cubic", antialias=False
  )
  assert np.abs(got - other.reshape(36, 1)).max() > 0.05


def test_refuses_a_table_of_another_grid():
  with pytest.raises(ValueError, match="reshape"):
    resize_grid(np.ones((6, 4)), (4, 4), (2, 2))
