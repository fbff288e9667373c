import numpy as np
import pytest

from causal_mlr_jax.core import parallel
from causal_mlr_jax.core.errors import UserError
from tests.devices import run_on_devices


def test_a_size_that_devices_do_not_divide_names_the_next_ones():
  result = run_on_devices("""
    from causal_mlr_jax.core import errors, parallel
    mesh = parallel.make_mesh()
    said = []
    for size in (16, 0, 3, 20):
      try:
        parallel.check_divides('train.batch_size', size, mesh)
        said.append('')
      except errors.UserError as error:
        said.append(str(error))
    print(json.dumps(said))
  """)
  assert result[0] == ""
  assert "for example 8." in result[1]
  assert "for example 8." in result[2]
  assert "16 or 24" in result[3]


def test_shards_and_copies_come_back_whole():
  mesh = parallel.make_mesh()
  x = np.arange(6.0).reshape(3, 2)
  np.testing.assert_array_equal(parallel.to_host(parallel.shard(x, mesh)), x)
  both = parallel.replicate({"a": x, "b": 3}, mesh)
  np.testing.assert_array_equal(both["a"], x)
  assert both["b"].sharding.is_fully_replicated


def test_no_cluster_is_one_clear_error(monkeypatch):
  def fail():
    raise ValueError("coordinator_address should be defined.")

  monkeypatch.setattr("jax.distributed.initialize", fail)
  with pytest.raises(UserError, match=r"--distributed.*coordinator_address"):
    parallel.initialize()
