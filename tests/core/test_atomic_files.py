import json

import numpy as np
import pytest

from causal_mlr_jax.core import atomic_files
from causal_mlr_jax.core.fingerprint import fingerprint


def test_a_file_is_whole_or_absent(tmp_path):
  path = tmp_path / "deep" / "file.json"

  def fail_halfway():
    with atomic_files.replacing(path) as file:
      file.write(b"half")
      raise RuntimeError

  with pytest.raises(RuntimeError):
    fail_halfway()
  assert list(path.parent.iterdir()) == []
  atomic_files.write_json(path, {"a": 1})
  with pytest.raises(ValueError, match="JSON"):
    atomic_files.write_json(path, {"a": float("nan")})
  assert json.loads(path.read_text()) == {"a": 1}
  assert list(path.parent.iterdir()) == [path]


def test_two_processes_of_one_number_write_beside_each_other(
  tmp_path, monkeypatch
):
  # As in two containers, whose disk is one.
  monkeypatch.setattr("os.getpid", lambda: 7)
  path = tmp_path / "file"
  with atomic_files.replacing(path) as one, atomic_files.replacing(path) as two:
    one.write(b"first")
    two.write(b"second")
    assert len(list(tmp_path.iterdir())) == 2
  assert path.read_bytes() == b"first"
  assert list(tmp_path.iterdir()) == [path]


def test_arrays_go_and_come_back(tmp_path):
  arrays = {"x": np.arange(3), "y": np.ones((2, 2), np.float32)}
  atomic_files.write_arrays(tmp_path / "a.npz", **arrays)
  found = atomic_files.read_arrays(tmp_path / "a.npz")
  assert found.keys() == arrays.keys()
  for name, value in arrays.items():
    np.testing.assert_array_equal(found[name], value)


def test_a_fingerprint_changes_with_each_part_and_not_with_the_order():
  one = fingerprint(a=1, b={"x": 1, "y": 2})
  assert one == fingerprint(b={"y": 2, "x": 1}, a=1)
  assert len({one, fingerprint(a=2, b={"x": 1, "y": 2}), fingerprint(a=1)}) == 3
