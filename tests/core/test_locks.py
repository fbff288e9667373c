from concurrent import futures

import pytest

from causal_mlr_jax.core import locks


def test_one_holder_at_a_time_while_folders_come_and_go(tmp_path):
  path = tmp_path / "made" / "for it" / "lock"
  inside = []

  def hold_often():
    for _ in range(300):
      with locks.held(path, "holds it"):
        inside.append(1)
        assert inside == [1]
        inside.pop()

  with futures.ThreadPoolExecutor(4) as pool:
    for result in [pool.submit(hold_often) for _ in range(4)]:
      result.result()
  assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_folder_is_an_error(tmp_path):
  (tmp_path / "file").touch()
  for path in (tmp_path / "file" / "lock", tmp_path / "file" / "a" / "lock"):
    with pytest.raises(OSError, match="file"), locks.held(path, "holds it"):
      pass
