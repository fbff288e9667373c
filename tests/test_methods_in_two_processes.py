"""Every method trains, is stopped, goes on and evaluates in two processes."""

import re
import shutil

import jax
import numpy as np
import pytest

from configs import context_emoji
from tests import small
from tests.processes import (
  finish,
  read_losses,
  read_metrics,
  read_state,
  start,
  wait_until,
)

# One of each kind of state that processes share: confounders, first stages,
# prototypes of labels, random inputs of each image. `test_run.py` stops and
# resumes every method in one process.
METHODS = ("causal", "feature_split", "cam_based", "ccd", "c_tran")
FLAGS = [
  "--config.data.variant=small",
  "--config.backbone.width=8",
  "--config.confounders.num=6",
  "--config.confounders.image_size=64",
  "--config.confounders.batch_size=48",
  "--config.train.batch_size=24",
  "--config.train.log_every=2",
  "--config.train.epochs=2",
  "--config.first_stage.epochs=1",
  "--config.evaluate.batch_size=48",
  "--config.evaluate.every_epochs=1",
]
# Whose evaluation is repeated by a program of its own.
EVALUATED_ALONE = "causal"
FIRST_STEPS, STEPS = 4, 8  # of 96 images


def flags_of(method):
  fields = context_emoji.get_config(method).method
  sizes = [f"--config.method.{k}={v}" for k, v in small.SIZES.items()]
  known = [flag for flag in sizes if flag.split("=")[0][16:] in fields]
  return [f"--config=configs/context_emoji.py:{method}", *FLAGS, *known]


def stop(running, there):
  """Stops processes by a signal to the last one; returns after which step."""
  wait_until(there, running)
  running[-1].terminate()
  said = finish(running, 143)
  (step,) = {re.search(r"Stopped after step (\d+)", text)[1] for text in said}
  return int(step)


def begin(method, workdir, data_dir, *flags, processes=2):
  return start(workdir, data_dir, flags, flags_of(method), processes)


# A quick network, tested on one split.
QUICK = ["--config.backbone.stage_sizes=(1,)"]
QUICK += ["--config.data.test_splits=('test',)"]


def test_two_processes_train_and_evaluate(data_dir, tmp_path):
  finish(begin("baseline", tmp_path, data_dir, *QUICK))
  assert (tmp_path / "checkpoints" / str(STEPS)).exists()
  losses = read_losses(tmp_path)
  assert len(losses) == STEPS // 2
  assert losses[-1] < losses[0]
  assert read_metrics(tmp_path)["test"]["images"] == 96


@pytest.mark.slow
def test_a_signal_between_two_stages_stops_both_processes(data_dir, tmp_path):
  first = tmp_path / "first_stage" / "checkpoints" / str(FIRST_STEPS)
  running = begin("cam_based", tmp_path, data_dir, *QUICK)
  assert stop(running, first.exists) == 1
  assert (tmp_path / "checkpoints" / "1").exists()
  finish(begin("cam_based", tmp_path, data_dir, *QUICK))
  assert (tmp_path / "checkpoints" / str(STEPS)).exists()
  assert len(read_losses(tmp_path)) == STEPS // 2
  assert read_metrics(tmp_path)["test"]["images"] == 96


@pytest.mark.parametrize(
  "method", [pytest.param(name, marks=small.slow(name)) for name in METHODS]
)
def test_a_method_goes_on_bit_for_bit_and_evaluates(method, data_dir, tmp_path):
  whole, parts = tmp_path / "whole", tmp_path / "parts"
  finish(begin(method, whole, data_dir))
  begun = (parts / "data.json").exists
  if (whole / "first_stage").exists():
    first = parts / "first_stage"
    step = stop(begin(method, parts, data_dir), (first / "data.json").exists)
    assert step < FIRST_STEPS
    assert (first / "checkpoints" / str(step)).exists()
    assert not (parts / "checkpoints").exists()
    begun = (first / "checkpoints" / str(FIRST_STEPS)).exists
  step = stop(begin(method, parts, data_dir), begun)
  assert step < STEPS
  assert (parts / "checkpoints" / str(step)).exists()
  finish(begin(method, parts, data_dir))
  jax.tree.map(
    np.testing.assert_array_equal,
    read_state(whole, STEPS),
    read_state(parts, STEPS),
  )
  logs = [(f / "metrics.jsonl").read_text() for f in (whole, parts)]
  assert logs[0] == logs[1]
  metrics = read_metrics(whole)
  assert metrics == read_metrics(parts)
  if method == EVALUATED_ALONE:
    shutil.rmtree(parts / "report")
    finish(begin(method, parts, data_dir, "--mode=evaluate"))
    assert read_metrics(parts) == metrics


@pytest.mark.slow
def test_two_processes_go_on_as_one_and_one_as_two(data_dir, tmp_path):
  # Adam would make full steps of what is rounding alone.
  sgd = [
    "--config.train.optimizer=sgd",
    "--config.train.learning_rate=0.01",
    "--config.first_stage.learning_rate=0.01",
  ]
  whole, parts = tmp_path / "whole", tmp_path / "parts"
  finish(begin("cam_based", whole, data_dir, *sgd))
  first, log = parts / "first_stage", parts / "metrics.jsonl"
  running = begin("cam_based", parts, data_dir, *sgd)
  assert stop(running, (first / "data.json").exists) < FIRST_STEPS
  running = begin("cam_based", parts, data_dir, *sgd, processes=1)
  step = stop(running, lambda: log.exists() and log.read_text())
  assert (parts / "checkpoints" / str(step)).exists()
  finish(begin("cam_based", parts, data_dir, *sgd))
  for folder in (".", "first_stage"):
    losses = [read_losses(run / folder) for run in (whole, parts)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
