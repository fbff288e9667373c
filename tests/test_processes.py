"""Processes as a machine treats them: several at once, and killed."""

import fcntl
import re
import time

import jax
import numpy as np
import pytest

from tests import processes
from tests.data.builders import own_folder
from tests.processes import finish, read_losses, read_state, start, wait_until


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path):
  one, two = tmp_path / "one", tmp_path / "two"
  finish(start(one, tmp_path / "data1"))
  finish(start(two, tmp_path / "data2", processes=2))
  assert (two / "report" / "report.json").exists()
  alone, together = read_state(one, 4), read_state(two, 4)

  def flat(tree):
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])

  # Adam makes full steps of the smallest gradients, and rounding decides the
  # sign of some: single parameters may differ, the whole must not.
  a, b = flat(alone["params"]), flat(together["params"])
  assert np.linalg.norm(a - b) < 2e-3 * np.linalg.norm(a)
  assert read_losses(one) == pytest.approx(read_losses(two), rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.3, 1.0])
def test_a_killed_run_goes_on_bit_for_bit(delay, tmp_path):
  flags = ["--config.train.epochs=6", "--config.evaluate.every_epochs=1"]
  whole, killed, data = tmp_path / "whole", tmp_path / "killed", tmp_path / "d"
  finish(start(whole, data, flags))
  (process,) = start(killed, data, flags)
  # The first checkpoint is there: now at any moment, also while one is saved.
  wait_until((killed / "checkpoints" / "4").exists, [process])
  time.sleep(delay)
  process.kill()
  process.communicate()
  assert not (killed / "report").exists()
  finish(start(killed, data, flags))
  jax.tree.map(
    np.testing.assert_array_equal,
    read_state(whole, 24),
    read_state(killed, 24),
  )
  logs = [(f / "metrics.jsonl").read_text() for f in (whole, killed)]
  assert logs[0] == logs[1]


@pytest.mark.slow
def test_a_signal_to_one_of_two_processes_stops_and_saves_both(tmp_path):
  flags = ["--config.train.epochs=40", "--config.evaluate.every_epochs=20"]
  workdir, data = tmp_path / "run", tmp_path / "data"
  both = start(workdir, data, flags, processes=2)
  log = workdir / "metrics.jsonl"
  wait_until(lambda: log.exists() and log.read_text(), both)
  both[1].terminate()
  said = finish(both, 143)
  stopped = [re.search(r"Stopped after step (\d+)", text)[1] for text in said]
  assert stopped[0] == stopped[1]
  assert (workdir / "checkpoints" / stopped[0]).exists()
  assert int(stopped[0]) < 160


def end_together(workdir, data_dir, flags, base=processes.FLAGS):
  """Two processes that one's mistake ends: what each of them said."""
  said = finish(start(workdir, data_dir, flags, base, processes=2), 2)
  assert "Traceback" not in "".join(said)
  assert "an error in process 0" in said[1]
  return said


@pytest.mark.slow
def test_a_missing_file_ends_both_processes(tmp_path):
  photos = tmp_path / "photos"
  photos.mkdir()
  own_folder.draw(photos)
  own_folder.write_csv(photos)
  (photos / own_folder.PATHS[4]).unlink()
  base = ["--config=configs/folder.py:baseline"]
  flags = [f"--config.data.manual_dir={photos}", "--mode=prepare"]
  said = end_together(tmp_path / "run", tmp_path / "data", flags, base)
  assert f"no file {own_folder.PATHS[4]}" in said[0]
  assert not list((tmp_path / "data").rglob("dataset_info.json"))


@pytest.mark.slow
def test_a_workdir_in_use_ends_both_processes(tmp_path):
  workdir = tmp_path / "run"
  workdir.mkdir()
  with (workdir / "lock").open("w") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    said = end_together(workdir, tmp_path / "data", ["--mode=prepare"])
  assert "is in use by another process" in said[0]


@pytest.mark.slow
def test_an_unwritable_workdir_ends_both_processes_with_one_message(tmp_path):
  (tmp_path / "file").write_text("not a folder")  # root may write anywhere else
  workdir = tmp_path / "file" / "run"
  said = end_together(workdir, tmp_path / "data", ["--mode=prepare"])
  assert f"The workdir {workdir} cannot be written" in said[0]
  assert "".join(said).count("cannot be written") == 1
