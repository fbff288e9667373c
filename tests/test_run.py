"""The whole program on the small variant of the embedded world."""

import json
import os
import shutil
import signal

import jax
import numpy as np
import pytest

from causal_mlr_jax import run
from causal_mlr_jax.core import lookup
from causal_mlr_jax.core.errors import NonFiniteError, Preempted, UserError
from causal_mlr_jax.training import model as model_lib
from causal_mlr_jax.training.checkpoint import Checkpoints
from causal_mlr_jax.training.metrics_writer import Writer
from causal_mlr_jax.workdir import as_json
from tests import small


def read_state(workdir):
  """The newest checkpoint: step, arrays by path, place in the data."""
  import orbax.checkpoint as ocp

  step = Checkpoints(workdir / "checkpoints").latest_step
  folder = workdir / "checkpoints" / str(step)
  with ocp.StandardCheckpointer() as checkpointer:
    state = checkpointer.restore(folder / "state")
  data = json.loads((folder / "data" / "process_0-of-1.json").read_text())
  leaves = jax.tree_util.tree_leaves_with_path(state)
  return step, {str(p): np.asarray(x) for p, x in leaves}, data


def read_log(workdir):
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  return [json.loads(line) for line in lines]


def test_from_nothing_to_a_report_and_again(
  causal_run, data_dir, tmp_path, capsys
):
  config = small.config("causal", data_dir)
  workdir = tmp_path / "run"
  shutil.copytree(causal_run, workdir)
  report = json.loads((workdir / "report" / "report.json").read_text())
  assert set(report["metrics"]) == {"test", "test_shifted"}
  test = report["metrics"]["test"]
  for key in ("exclusive_map", "cooccur_map", "all_map"):
    assert 0 < test[key] <= 100
  assert test["images"] == 96
  assert 0 < test["standard_error"]["all"] < 20
  assert len(test["per_label"]) == 32
  assert {"data", "confounders", "training"} <= set(report["seconds"])
  assert report["config"]["method"]["name"] == "causal"
  assert report["seed"] == 0
  assert report["versions"]["jax"] == jax.__version__
  assert report["step"] in (4, 8)
  assert report["steps"] == 8
  assert list((workdir / "tensorboard").glob("events.*"))
  rows = read_log(workdir)
  assert [r["step"] for r in rows if "validation" in r] == [4, 8]
  assert all(np.isfinite(r["loss"]) for r in rows if "loss" in r)

  before = read_state(workdir)
  run.run(config, str(workdir), "train")
  shown = capsys.readouterr().out
  assert "Exclusive" in shown
  assert "report.json" in shown
  after = read_state(workdir)
  assert before[0] == after[0] == 8
  again = json.loads((workdir / "report" / "report.json").read_text())
  assert again["metrics"] == report["metrics"]


@pytest.mark.slow
def test_confounders_come_from_a_trained_network(data_dir, tmp_path):
  imagenet = {
    "confounders.backbone.name": "efficientnet_lite",
    "confounders.backbone.pretrained": "efficientnet_lite0",
    "confounders.image_size": 64,
  }
  config = small.config("causal", data_dir, **imagenet)
  run.run(config, str(tmp_path), "train")
  provenance = tmp_path / "confounders" / "provenance.json"
  assert "efficientnet-lite0" in json.loads(provenance.read_text())["weights"]
  report = json.loads((tmp_path / "report" / "report.json").read_text())
  assert np.isfinite(report["metrics"]["test"]["all_map"])


def stop_at(monkeypatch, step, action):
  """Runs `action` when the log's line of `step` is written."""
  write = Writer.write

  def spy(self, at, values):
    write(self, at, values)
    if at >= step:
      action()

  monkeypatch.setattr(Writer, "write", spy)


# Where a method is stopped; the others at step 4.
STOPS = {"baseline": 2, "feature_split": 2, "c_tran": 6}
METHODS = lookup.names(model_lib.METHODS)
# With what most methods lack: a table with a row for each image.
FAST = "causal"


@pytest.mark.parametrize(
  "method",
  [
    pytest.param(name, marks=() if name == FAST else small.slow(name))
    for name in METHODS
  ],
)
def test_a_stopped_run_goes_on_bit_for_bit(
  method, causal_run, data_dir, tmp_path, monkeypatch
):
  at = STOPS.get(method, 4)
  config = small.config(method, data_dir)
  whole, parts = tmp_path / "whole", tmp_path / "parts"
  if method == FAST:
    whole = causal_run
  else:
    run.run(config, str(whole), "train")
  losses = [row["loss"] for row in read_log(whole) if "loss" in row]
  assert losses[-1] < losses[0]
  if (whole / "first_stage").exists():
    # Is compared by `test_a_first_stage_is_stopped_and_reused`.
    shutil.copytree(whole / "first_stage", parts / "first_stage")
  with monkeypatch.context() as patch:
    stop_at(patch, at, lambda: os.kill(os.getpid(), signal.SIGTERM))
    # The signal comes while the line of step `at` is written, so the step
    # after it is the last one: between two lines and two validations.
    with pytest.raises(Preempted, match=rf"after step {at + 1} of 8"):
      run.run(config, str(parts), "train")
  assert Checkpoints(parts / "checkpoints").latest_step == at + 1
  # A run that was killed in the middle of a line, after its checkpoint.
  with (parts / "metrics.jsonl").open("a") as file:
    file.write('{"step": 99, "loss": 1.0}\n{"step": 1')
  run.run(config, str(parts), "train")
  step, state, data = read_state(whole)
  step_parts, state_parts, data_parts = read_state(parts)
  assert step == step_parts == 8
  assert data == data_parts
  assert state.keys() == state_parts.keys()
  for name, value in state.items():
    np.testing.assert_array_equal(value, state_parts[name], err_msg=name)
  assert read_log(whole) == read_log(parts)


@pytest.mark.slow
def test_a_method_starts_from_its_first_stage(data_dir, tmp_path):
  flags = {"train.epochs": 1.0, "data.test_splits": ("test",)}
  run.run(small.config("ccd", data_dir, **flags), str(tmp_path), "train")
  first = tmp_path / "first_stage"
  assert json.loads((first / "config.json").read_text())["method"]["stage"] == 1
  assert read_state(first)[0] == 4
  # The memory is that of the first stage's network, and does not move.
  with np.load(first / "label_prototypes.npz") as file:
    memory = file["prototypes"]
  _, state, _ = read_state(tmp_path)
  constants = [value for name, value in state.items() if "memory" in name]
  assert len(constants) == 2  # the averaged one, too
  for value in constants:
    np.testing.assert_allclose(value, memory, rtol=1e-6)
  report = json.loads((tmp_path / "report" / "report.json").read_text())
  assert report["side_inputs"]["first_stage"]["method"] == "ccd"
  assert report["seconds"]["first stage"] > 0


@pytest.mark.slow
def test_a_first_stage_is_stopped_and_reused(data_dir, tmp_path, monkeypatch):
  config = small.config("ccd", data_dir)
  whole, parts = tmp_path / "whole", tmp_path / "parts"
  run.run(config, str(whole), "train")
  with monkeypatch.context() as patch:
    stop_at(patch, 2, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Preempted, match="after step 3 of 4"):
      run.run(config, str(parts), "train")
  assert not (parts / "checkpoints").exists()
  run.run(config, str(parts), "train")
  for folder in ("first_stage", "."):
    _, want, data = read_state(whole / folder)
    _, got, data_parts = read_state(parts / folder)
    assert data == data_parts
    for name, value in want.items():
      np.testing.assert_array_equal(value, got[name], err_msg=name)


@pytest.mark.slow
def test_known_labels_are_given_and_not_counted(data_dir, tmp_path):
  config = small.config(
    "c_tran",
    data_dir,
    **{
      "method.known_labels": 0.5,
      "train.epochs": 1.0,
      "data.test_splits": ("validation",),
    },
  )
  run.run(config, str(tmp_path), "train")
  report = json.loads((tmp_path / "report" / "report.json").read_text())
  assert report["side_inputs"]["label_state"] == (
    "0.5 of the labels known at test"
  )
  metrics = report["metrics"]["validation"]
  labels = small.dataset(data_dir).label_matrix("validation")
  counted = sum(row["positives"] for row in metrics["per_label"].values())
  assert 0.3 < counted / labels.sum() < 0.7


def test_diverging_training_stops_and_keeps_the_last_checkpoint(
  data_dir, tmp_path
):
  config = small.config(
    "baseline",
    data_dir,
    **{
      "train.learning_rate": 1e30,
      "seed": 1,
      "backbone.stage_sizes": (1,),  # compiled sooner
    },
  )
  with pytest.raises(NonFiniteError, match="learning_rate"):
    run.run(config, str(tmp_path / "run"), "train")
  assert Checkpoints(tmp_path / "run" / "checkpoints").latest_step is None


def test_another_configuration_in_the_same_workdir_is_refused(
  data_dir, tmp_path
):
  (tmp_path / "config.json").write_text(
    json.dumps(as_json(small.config("q2l", data_dir)))
  )
  other = small.config("q2l", data_dir, **{"train.epochs": 3.0})
  with pytest.raises(UserError, match=r"train.epochs: 2.0 there, 3.0 here"):
    run.run(other, str(tmp_path), "train")


def test_data_may_move_but_not_change(baseline_run, data_dir, tmp_path):
  moved = tmp_path / "elsewhere"
  shutil.copytree(data_dir, moved)
  workdir = tmp_path / "run"
  shutil.copytree(baseline_run, workdir)
  config = small.config("baseline", moved, **small.SHORT)
  reports = workdir / "report" / "report.json"
  before = json.loads(reports.read_text())
  reports.unlink()
  run.run(config, str(workdir), "evaluate")
  after = json.loads(reports.read_text())
  assert after["metrics"] == before["metrics"]
  assert after["step"] == before["step"]
  metadata = next(moved.rglob("metadata.json"))
  metadata.write_text(metadata.read_text().replace("0.6", "0.7", 1))
  with pytest.raises(UserError, match="on other data"):
    run.run(config, str(workdir), "train")


def test_a_workdir_in_use_is_refused(data_dir, tmp_path):
  from causal_mlr_jax.workdir import Workdir

  config = small.config("baseline", data_dir)
  folder = Workdir(str(tmp_path))
  with folder.locked(), pytest.raises(UserError, match="in use by process"):
    run.run(config, str(tmp_path), "train")


def test_changed_inputs_make_new_confounders(
  causal_run, data_dir, tmp_path, capsys
):
  workdir = tmp_path / "run"
  first = small.config("causal", data_dir)
  shutil.copytree(causal_run / "confounders", workdir / "confounders")
  file = workdir / "confounders" / "provenance.json"
  one = json.loads(file.read_text())
  run.run(first, str(workdir), "confounders")
  assert json.loads(file.read_text()) == one
  other = small.config("causal", data_dir, **{"confounders.num": 5})
  run.run(other, str(workdir), "confounders")
  assert json.loads(file.read_text())["fingerprint"] != one["fingerprint"]
  assert "made from other inputs" in capsys.readouterr().err
