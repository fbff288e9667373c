"""Runs of the table of effects: what is measured after a training."""

import json

import pytest

from causal_mlr_jax.sweep import plan as sweep_plan
from causal_mlr_jax.sweep import runs
from causal_mlr_jax.sweep.runs import State
from tests import small
from tests.sweep.prepared import EMOJI, plan, report, write
from tests.sweep.test_command import SMALL, call, starts

ROWS = ("causal", "q2l")
# How ml_collections 1.1 loads a configuration file.
pytestmark = pytest.mark.filterwarnings(
  "ignore:the load_module:DeprecationWarning"
)


def test_the_table_shares_its_runs_with_others(tmp_path):
  names = ("causal", "q2l", "c_tran", "baseline", "add_gcn")
  effects = plan("effects", tmp_path)
  methods = plan("methods", tmp_path, names=names)
  modules = plan("modules", tmp_path, names=("decouple_causal_prior",))
  folders = {run.folder for run in effects.runs}
  assert len(folders) == 6
  assert folders == {run.folder for run in (*methods.runs, *modules.runs)}
  assert all(run.effects for run in effects.runs)
  assert not any(run.effects for run in methods.runs)
  assert effects.rows[0][0].name == "causal"


def test_what_the_folder_says_of_both_jobs(tmp_path):
  (run, *_) = plan("effects", tmp_path, ROWS).runs
  (training, *_) = plan("methods", tmp_path, names=["causal"]).runs
  assert run.folder == training.folder
  failure = {"exit_code": 2, "reason": "it is broken", "time": 1.0}

  def states():
    return runs.state_of(run), runs.state_of(training)

  assert states() == (State.MISSING, State.MISSING)
  assert [job.mode for job in runs.jobs_of(run)] == ["train", "effects"]
  write(run.folder / "failed.json", failure)
  assert states() == (State.FAILED, State.FAILED)
  (run.folder / "failed.json").unlink()
  report(run, {})
  assert states() == (State.MISSING, State.DONE)
  write(run.folder / "effects" / "failed.json", failure)
  assert states() == (State.FAILED, State.DONE)
  assert runs.failure_of(run) == failure
  assert runs.failure_of(training) is None
  settings = run.config["effects"]
  path = run.folder / "effects" / "effects.json"
  write(path, {"settings": settings | {"max_images": 7}})
  assert states() == (State.FAILED, State.DONE)
  write(path, {"settings": settings})
  assert states() == (State.DONE, State.DONE)
  other = EMOJI._replace(overrides=("--config.effects.max_images=7",))
  (again, *_) = plan("effects", tmp_path, ROWS, source=other).runs
  assert again.folder == run.folder
  assert runs.state_of(again) is State.FAILED


def test_measurements_are_counted_in_the_time_left(tmp_path):
  first, second = plan("effects", tmp_path, ROWS).runs
  report(first, {}, training=50.0)
  left = sweep_plan.work_left([first, second], tmp_path)
  assert left == "50 s and 2 measurement(s) of effects"
  left = sweep_plan.work_left([first], tmp_path)
  assert left == "0 s and 1 measurement(s) of effects"
  assert sweep_plan.work_left([], tmp_path) == "0 s"


def read_states(workdir):
  table = json.loads((workdir / "table_effects.json").read_text())
  return [run["state"] for row in table["rows"] for run in row["runs"].values()]


@pytest.mark.slow
def test_effects_are_measured_once_and_fail_alone(tmp_path):
  data, work = tmp_path / "data", tmp_path / "sweep"
  small.dataset(data)
  common = [
    *("--config=configs/context_emoji.py", "--seeds=0", f"--workdir={work}"),
    *(f"--config.data.dir={data}", "--config.train.epochs=1", *SMALL),
  ]
  methods = [*common, "--table=methods", "--rows=q2l"]
  effects = [*common, "--table=effects", "--rows=causal,q2l"]
  code, _, err = call(*methods)
  assert code == 0, err
  code, out, err = call(*effects, "--dry-run")
  assert code == 0, err
  assert [line.split(" ", 2)[:2] for line in out.splitlines()[:2]] == [
    ["to", "do"]
  ] * 2
  assert "2 run(s), 0 done, 0 failed" in out
  assert "and 2 measurement(s) of effects" in out
  # A measurement that fails leaves the training as it is.
  code, _, err = call(*effects, "--config.effects.split=absent")
  assert code == 1, err
  assert "Traceback" not in err
  assert read_states(work) == ["failed"] * 2
  text = (work / "table_effects.md").read_text()
  assert "- q2l: seed 0 failed, measurement, exit code 2: " in text
  assert len(list(work.glob("runs/*/effects/failed.json"))) == 2
  assert not list(work.glob("runs/*/failed.json"))
  _, out, _ = call(*methods, "--dry-run")
  assert "1 run(s), 1 done, 0 failed" in out
  # Again, with a split that is there.
  code, _, err = call(*effects)
  assert code == 0, err
  assert "sweep: 2/2 runs done, 0 failed, time left: 0 s" in err
  assert read_states(work) == ["done"] * 2
  assert not list(work.glob("runs/*/effects/failed.json"))
  for ending in ("md", "csv", "png"):
    assert (work / f"table_effects.{ending}").stat().st_size > 100
  table = json.loads((work / "table_effects.json").read_text())
  sources = [line["source"] for line in table["recovery"]]
  assert sources == ["causal_head", "scores", "scores", "training_labels"]
  for line in (*table["recovery"], *table["reliance"]):
    assert all(cell["mean"] is not None for cell in line["cells"].values())
  # Each was trained once, and measured twice.
  assert list(starts(work).values()) == [3, 3]
  for log in work.glob("runs/*/stderr.log"):
    assert log.read_text().count("--mode=train") == 1
  code, _, err = call(*effects)
  assert code == 0, err
  assert list(starts(work).values()) == [3, 3]
