"""Rows that take over the training of another row."""

import json
import time

import pytest

from causal_mlr_jax.sweep import plan as sweep_plan
from causal_mlr_jax.sweep import process, run_configs, table_rows
from causal_mlr_jax.sweep import runs as sweep_runs
from causal_mlr_jax.sweep.runs import State
from tests import small
from tests.sweep import prepared
from tests.sweep.prepared import EMOJI
from tests.sweep.test_command import SMALL, call, starts

PARTS = {
  "data.json": "{}",
  "confounders/confounders.npz": "centres",
  "checkpoints/7/state/d/abc": "state",
}
# How ml_collections 1.1 loads a configuration file.
pytestmark = pytest.mark.filterwarnings(
  "ignore:the load_module:DeprecationWarning"
)


def write(path, text):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(text)


def fused(folder):
  names = [f"fusion_{name}" for name in ("mean_probability", "max")]
  return prepared.plan("intervention", folder, names, (0, 1))


@pytest.fixture
def trained(tmp_path):
  for name, text in PARTS.items():
    write(tmp_path / "trained" / name, text)
  write(tmp_path / "trained/report/report.json", "{}")
  (tmp_path / "own").mkdir()
  return tmp_path / "trained"


def read(folder):
  files = (path for path in folder.rglob("*") if path.is_file())
  return {str(f.relative_to(folder)): f.read_text() for f in files}


def test_all_that_is_trained_is_there_and_nothing_else(trained, tmp_path):
  sweep_runs.take_over(trained, tmp_path / "own")
  assert read(tmp_path / "own") == PARTS
  name = "checkpoints/7/state/d/abc"
  assert (tmp_path / "own" / name).samefile(trained / name)


def test_files_are_copied_where_there_are_no_links(
  trained, tmp_path, monkeypatch
):
  def link(source, target):
    raise OSError("no links")

  monkeypatch.setattr(sweep_runs.os, "link", link)
  sweep_runs.take_over(trained, tmp_path / "own")
  assert read(tmp_path / "own") == PARTS


def test_what_a_killed_process_left_does_not_stay(trained, tmp_path):
  own = tmp_path / "own"
  write(own / ".checkpoints.partial/6/state", "half")
  write(own / ".data.json.partial", "{")
  write(own / "confounders/confounders.npz", "its own")
  sweep_runs.take_over(trained, own)
  assert read(own) == PARTS | {"confounders/confounders.npz": "its own"}


def test_a_fusion_has_the_training_of_the_default_and_another_folder(tmp_path):
  default, other = (runs for _, runs in fused(tmp_path).rows)
  for seed in (0, 1):
    assert default[seed].trained is None
    assert other[seed].trained.folder == default[seed].folder
    assert other[seed].folder != default[seed].folder
    assert other[seed].config["method"]["fusion"] == "max"
  (causal,) = table_rows.select(table_rows.find("methods"), ["causal"])
  made = run_configs.make(causal, EMOJI, (0, 1), tmp_path / "runs")
  assert [run.folder for run in made.values()] == [
    run.folder for run in default.values()
  ]


def test_the_time_left_counts_a_training_once(tmp_path):
  plan = fused(tmp_path)
  write(
    tmp_path / "runs/x/report/report.json",
    json.dumps({"seconds": {"data": 10.0, "training": 90.0}}),
  )
  write(
    tmp_path / "runs/y/report/report.json",
    json.dumps({"seconds": {"data": 1.0, "evaluation": 1.0}}),
  )
  assert len(plan.runs) == 4
  assert sweep_plan.work_left(plan.runs, tmp_path) == "3.3 min"


def test_without_the_training_the_row_fails_for_its_reason(tmp_path):
  run = fused(tmp_path).runs[1]
  since = time.time()
  failure = {"exit_code": 2, "reason": "it broke", "time": since + 1}
  run.trained.folder.mkdir(parents=True)
  write(run.trained.folder / "failed.json", json.dumps(failure))
  stop = process.Stop()
  assert sweep_runs.attempt(run, since, stop) is State.FAILED
  assert sweep_runs.failure_of(run) == failure
  assert sweep_runs.state_of(run) is State.FAILED


def test_it_waits_while_another_process_trains(tmp_path):
  run = fused(tmp_path).runs[1]
  with sweep_runs.claimed(run.trained) as claim:
    assert claim is not None
    stop = process.Stop()
    assert sweep_runs.attempt(run, time.time(), stop) is State.BUSY
  assert sweep_runs.state_of(run) is State.MISSING


@pytest.mark.slow
def test_fusions_are_tested_on_one_training(tmp_path):
  data, work = tmp_path / "data", tmp_path / "sweep"
  small.dataset(data)
  given = [
    *("--config=configs/context_emoji.py", "--seeds=0", f"--workdir={work}"),
    *(f"--config.data.dir={data}", "--config.train.epochs=1", *SMALL),
    *("--table=intervention", "--rows=fusion_mean_logit,fusion_decoupled"),
  ]
  code, _, err = call(*given)
  assert code == 0, err
  assert "sweep: 2/2 runs done, 0 failed, time left: 0 s" in err
  assert list(starts(work).values()) == [1] * 3
  said = [log.read_text() for log in work.glob("runs/*/stderr.log")]
  assert sorted("--mode=train" in text for text in said) == [False, False, True]
  found = [
    json.loads(path.read_text())
    for path in work.glob("runs/*/report/report.json")
  ]
  everywhere = {report["metrics"]["test"]["all_map"] for report in found}
  assert len(everywhere) == 3  # the same network, read in three ways
  assert len({report["step"] for report in found}) == 1
  code, _, err = call(*given)
  assert code == 0, err
  assert list(starts(work).values()) == [1] * 3
