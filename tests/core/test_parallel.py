import json
import sys

import numpy as np
import pytest

from causal_mlr_jax.core import parallel
from causal_mlr_jax.core.errors import UserError
from tests import processes
from tests.devices import run_on_devices

TWO = """
import json, time, jax, numpy as np
from causal_mlr_jax.core import parallel
parallel.initialize()
first = jax.process_index() == 0
"""


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


def in_two_processes(code):
  """What each of two processes printed last, as JSON."""
  command = [sys.executable, "-W", "error", "-c", TWO + code]
  running = processes.start_each(command, processes.slurm())
  said = processes.finish(running)
  return [json.loads(text.strip().splitlines()[-1]) for text in said]


def test_two_processes_copy_and_decide_alike():
  found = in_two_processes("""
mesh = parallel.make_mesh()
once = parallel.replicate({"a": np.arange(3.0), "b": 3}, mesh)
twice = parallel.replicate(once, mesh)
part = np.arange(2) if first else np.arange(2, 4)
whole = parallel.replicate(parallel.shard(part, mesh), mesh)
trees = [once, twice, whole]
assert all(x.sharding.is_fully_replicated for x in jax.tree.leaves(trees))
values = jax.tree.map(lambda x: np.asarray(x).tolist(), trees)
answers = [parallel.decided_by_first(lambda: first == x) for x in (True, False)]
print(json.dumps([values, answers]))
""")
  copied = {"a": [0.0, 1.0, 2.0], "b": 3}
  assert found == [[[copied, copied, [0, 1, 2, 3]], [True, False]]] * 2


@pytest.mark.slow
def test_a_process_may_take_longer_than_a_collective_would_wait():
  found = in_two_processes("""
with parallel.wait_for_all():
  if first:
    time.sleep(45)
print(jax.process_index())
""")
  assert found == [0, 1]


def test_no_cluster_is_one_clear_error(monkeypatch):
  def fail():
    raise ValueError("coordinator_address should be defined.")

  monkeypatch.setattr("jax.distributed.initialize", fail)
  with pytest.raises(UserError, match=r"--distributed.*coordinator_address"):
    parallel.initialize()
