"""Processes as a machine treats them: several at once, and killed."""

import fcntl
import json
import os
import pathlib
import re
import subprocess
import sys
import time

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from tests.data import own_folder

ROOT = pathlib.Path(__file__).parents[1]
FLAGS = [
  "--config=configs/context_emoji.py:causal",
  "--config.data.variant=small",
  "--config.backbone.width=8",
  "--config.confounders.num=6",
  "--config.confounders.image_size=64",
  "--config.confounders.batch_size=48",
  "--config.train.batch_size=24",
  "--config.train.log_every=10",
  "--config.train.epochs=1",
  "--config.evaluate.batch_size=48",
  "--config.method.dropout=0",
]


def start(workdir, data_dir, process=0, processes=1, flags=(), base=FLAGS):
  slurm = {
    "SLURM_JOB_ID": "61234",
    "SLURM_STEP_NODELIST": "localhost",
    "SLURM_NTASKS": str(processes),
    "SLURM_PROCID": str(process),
    "SLURM_LOCALID": str(process),
  }
  more = ["--distributed"] if processes > 1 else []
  return subprocess.Popen(
    [
      sys.executable,
      "-m",
      "causal_mlr_jax.main",
      *base,
      *flags,
      *more,
      f"--workdir={workdir}",
      f"--config.data.dir={data_dir}",
    ],
    env=os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""} | slurm,
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def finish(processes):
  try:
    for process in processes:
      said, _ = process.communicate(timeout=300)
      assert process.returncode == 0, said
  finally:
    for process in processes:
      process.kill()


def state(workdir, like=None, step=4):
  folder = workdir / "checkpoints" / str(step) / "state"
  with ocp.StandardCheckpointer() as checkpointer:
    return checkpointer.restore(folder, like)


def read_losses(workdir):
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  rows = [json.loads(line) for line in lines]
  return [row["loss"] for row in rows if "loss" in row]


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path):
  one, two = tmp_path / "one", tmp_path / "two"
  finish([start(one, tmp_path / "data1")])
  finish([start(two, tmp_path / "data2", i, 2) for i in range(2)])
  assert (two / "report" / "report.json").exists()
  alone = state(one)
  # Saved from two devices, read on the one there is here.
  together = state(two, alone)

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
  finish([start(whole, data, flags=flags)])
  process = start(killed, data, flags=flags)
  # The first checkpoint is there: now at any moment, also while one is saved.
  while not (killed / "checkpoints" / "4").exists():
    assert process.poll() is None, process.communicate()[0]
    time.sleep(0.02)
  time.sleep(delay)
  process.kill()
  process.communicate()
  assert not (killed / "report").exists()
  finish([start(killed, data, flags=flags)])
  jax.tree.map(
    np.testing.assert_array_equal, state(whole, step=24), state(killed, step=24)
  )
  logs = [(f / "metrics.jsonl").read_text() for f in (whole, killed)]
  assert logs[0] == logs[1]


@pytest.mark.slow
def test_a_signal_to_one_of_two_processes_stops_and_saves_both(tmp_path):
  flags = ["--config.train.epochs=40", "--config.evaluate.every_epochs=20"]
  workdir, data = tmp_path / "run", tmp_path / "data"
  processes = [start(workdir, data, i, 2, flags) for i in range(2)]
  log = workdir / "metrics.jsonl"
  try:
    while not (log.exists() and log.read_text()):
      assert processes[0].poll() is None, processes[0].communicate()[0]
      time.sleep(0.02)
    processes[1].terminate()
    said = [process.communicate(timeout=60)[0] for process in processes]
  finally:
    for process in processes:
      process.kill()
  assert [p.returncode for p in processes] == [143, 143], said
  stopped = [re.search(r"Stopped after step (\d+)", text)[1] for text in said]
  assert stopped[0] == stopped[1]
  assert (workdir / "checkpoints" / stopped[0]).exists()
  assert int(stopped[0]) < 160


def end_together(workdir, data_dir, flags, base=FLAGS):
  """Two processes that one's mistake ends: what each of them said."""
  processes = [start(workdir, data_dir, i, 2, flags, base) for i in range(2)]
  try:
    said = [process.communicate(timeout=90)[0] for process in processes]
  finally:
    for process in processes:
      process.kill()
  assert [p.returncode for p in processes] == [2, 2], said
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
