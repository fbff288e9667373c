"""A sweep as a user meets it, and as a machine treats its processes."""

import json
import os
import runpy
import signal
import subprocess
import sys
import time

import pytest
from absl import flags as absl_flags
from absl.testing import flagsaver

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.sweep import command as sweep
from tests import small
from tests.sweep.prepared import FAILURE, plan, scored, write

SMALL = [
  "--config.data.variant=small",
  "--config.backbone.width=8",
  "--config.backbone.stage_sizes=(1,)",
  "--config.train.batch_size=24",
  "--config.train.log_every=2",
  "--config.evaluate.batch_size=48",
  "--config.evaluate.page=False",
]
# How ml_collections 1.1 loads a configuration file.
pytestmark = pytest.mark.filterwarnings(
  "ignore:the load_module:DeprecationWarning"
)


# ---- Flags ----------------------------------------------------------------


def test_seeds_and_shards():
  assert sweep.parse_seeds("0,3,12") == (0, 3, 12)
  assert sweep.parse_shard("3/4") == (3, 4)
  for text in ("", "1,", "1,1", "a", "-1", "1.5", "0 1"):
    with pytest.raises(UserError, match="whole numbers"):
      sweep.parse_seeds(text)
  for text in ("", "1", "4/4", "-1/4", "0/0", "1/2/3", "a/b"):
    with pytest.raises(UserError, match="I/N"):
      sweep.parse_shard(text)


def test_overrides_go_on_as_they_are():
  given = ["--config.train.epochs=0.1", "-config.loss.name=focal"]
  argv = ["sweep", "--config=x.py", given[0], "--table=methods", given[1]]
  assert sweep.parse_overrides(argv) == tuple(given)
  with pytest.raises(UserError, match="in one word"):
    sweep.parse_overrides(["sweep", "--config.train.epochs", "3"])
  with pytest.raises(UserError, match="--seeds"):
    sweep.parse_overrides(["sweep", "--config.seed=3"])


def command(*flags):
  return [sys.executable, "-m", "causal_mlr_jax.sweep", *map(str, flags)]


def call(*flags):
  """Runs a sweep in a process; returns exit code, stdout, stderr."""
  done = subprocess.run(
    command(*flags), capture_output=True, text=True, timeout=600, check=False
  )
  return done.returncode, done.stdout, done.stderr


@pytest.fixture
def cli(monkeypatch, capsys):
  """Runs a sweep in this process; returns exit code, stdout, stderr."""

  def run(*given):
    monkeypatch.setattr(sys, "argv", ["sweep", *map(str, given)])
    values = flagsaver.save_flag_values()
    try:
      with pytest.raises(SystemExit) as ended:
        runpy.run_module("causal_mlr_jax.sweep", run_name="__main__")
    finally:
      flagsaver.restore_flag_values(values)
      absl_flags.FLAGS.unparse_flags()
    return ended.value.code, *capsys.readouterr()

  return run


MISTAKES = {
  "no table": ([], "--table=NAME"),
  "table": (["--table=method"], "Did you mean 'methods'"),
  "row": (["--table=methods", "--rows=q2"], "Did you mean 'q2l'"),
  "seeds": (["--table=methods", "--seeds=0,x"], "whole numbers"),
  "shard": (["--table=methods", "--shard=4/4"], "I from 0 to N - 1"),
  "key": (["--table=methods", "--config.train.epoch=3"], "epochs"),
  "key of no method": (
    ["--table=modules", "--config.method.adjustmant=posterior"],
    "adjustment",
  ),
  "key of none of these rows": (
    ["--table=methods", "--rows=q2l", "--config.method.adjustment=prior"],
    "Unknown configuration key 'adjustment' (expected a key",
  ),
  "mode": (["--table=methods", "--mode=audit"], "a sweep trains"),
  "reference": (
    ["--table=modules", "--rows=baseline,decouple", "--reference=base"],
    "Did you mean 'baseline'",
  ),
  "reference of effects": (
    ["--table=effects", "--reference=q2l"],
    "Leave the flag out",
  ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_message_and_leaves_nothing(name, cli, tmp_path):
  flags, words = MISTAKES[name]
  workdir = f"--workdir={tmp_path / 'sweep'}"
  code, out, err = cli("--config=configs/context_emoji.py", workdir, *flags)
  assert code == 2, err
  assert words in err
  assert "Traceback" not in err
  assert err.count("error:") == 1
  assert out == ""
  assert not (tmp_path / "sweep").exists()


def test_help_says_what_each_flag_does(cli):
  code, out, _ = cli("--help")
  assert code == 0
  assert "Fills a table of the paper" in out
  for name in ("table", "seeds", "rows", "reference", "shard", "dry-run"):
    assert f"{name}:" in out


def test_a_dry_run_lists_the_runs_and_makes_none(cli, tmp_path):
  code, out, err = cli(
    "--config=configs/context_emoji.py",
    "--table=modules",
    "--seeds=0,1",
    "--shard=1/2",
    "--dry-run",
    f"--workdir={tmp_path / 'sweep'}",
  )
  assert code == 0, err
  lines = out.splitlines()
  assert len(lines) == 6
  assert sum(line.startswith("to do ") for line in lines) == 5
  assert "(decouple)" in out
  assert "5 run(s), 0 done, 0 failed; time left: unknown" in out
  assert not (tmp_path / "sweep").exists()


def test_a_dry_run_says_what_is_done_and_what_failed(cli, tmp_path):
  done, failed, _ = plan(
    "methods", tmp_path, seeds=(0, 1, 2), names=["q2l"]
  ).runs
  scored(done, 50.0)
  write(failed.folder / "failed.json", FAILURE)
  code, out, _ = cli(
    "--config=configs/context_emoji.py",
    *("--table=methods", "--rows=q2l", "--seeds=0,1,2", "--dry-run"),
    f"--workdir={tmp_path}",
  )
  assert code == 0
  words = [line.split("q2l")[0].strip() for line in out.splitlines()[:3]]
  assert words == ["done", "failed", "to do"]
  assert "3 run(s), 1 done, 1 failed; time left: " in out


def test_a_finished_sweep_writes_its_table_and_starts_nothing(cli, tmp_path):
  for run in plan("methods", tmp_path, ["baseline", "q2l"], (0, 1)).runs:
    scored(run, 50.0 + run.config["seed"])
  code, _, err = cli(
    "--config=configs/context_emoji.py",
    *("--table=methods", "--rows=baseline,q2l", "--seeds=0,1"),
    f"--workdir={tmp_path}",
  )
  assert code == 0
  assert "sweep: 4/4 runs done, 0 failed, time left: 0 s" in err
  assert states(tmp_path) == {"baseline": ["done"] * 2, "q2l": ["done"] * 2}
  assert f"table: {tmp_path / 'table_methods.md'}" in err
  assert starts(tmp_path) == {}


# ---- Processes ------------------------------------------------------------


def flags(workdir, data_dir, names, seeds, *more, epochs=1):
  return [
    "--config=configs/context_emoji.py",
    "--table=methods",
    f"--rows={names}",
    f"--seeds={seeds}",
    f"--workdir={workdir}",
    f"--config.data.dir={data_dir}",
    f"--config.train.epochs={epochs}",
    *SMALL,
    *more,
  ]


def starts(workdir):
  """Counts how often each run was started."""
  logs = sorted((workdir / "runs").glob("*/stderr.log"))
  return {
    path.parent.name: path.read_text().count("started: ") for path in logs
  }


def read_table(workdir):
  return json.loads((workdir / "table_methods.json").read_text())


def states(workdir):
  found = read_table(workdir)["rows"]
  return {
    row["name"]: [run["state"] for run in row["runs"].values()] for row in found
  }


def test_a_sweep_trains_a_row_once(data_dir, cli, tmp_path):
  given = flags(tmp_path, data_dir, "baseline", "0", epochs=0.1)
  code, _, err = cli(*given)  # which trains in a process
  assert code == 0, err
  assert "sweep: 1/1 runs done, 0 failed, time left: 0 s" in err
  assert states(tmp_path) == {"baseline": ["done"]}
  for ending in ("md", "csv", "png"):
    assert (tmp_path / f"table_methods.{ending}").stat().st_size > 100
  assert list(starts(tmp_path).values()) == [1]
  assert cli(*given)[0] == 0
  assert list(starts(tmp_path).values()) == [1]


@pytest.mark.slow
def test_a_sweep_goes_on_shows_failures_and_repeats_nothing(data_dir, tmp_path):
  given = flags(tmp_path, data_dir, "baseline,q2l,ml_gcn", "0,1")
  broken = [*given, f"--config.side_inputs.glove={tmp_path / 'absent.txt'}"]
  code, _, err = call(*broken)
  assert code == 1, err
  assert "sweep: 4/6 runs done, 2 failed, time left: 0 s" in err
  assert states(tmp_path) == {
    "baseline": ["done"] * 2,
    "q2l": ["done"] * 2,
    "ml_gcn": ["failed"] * 2,
  }
  text = (tmp_path / "table_methods.md").read_text()
  assert "- ml_gcn: seed 0 failed, exit code 2: side_inputs.glove" in text
  for ending in ("csv", "png"):
    assert (tmp_path / f"table_methods.{ending}").stat().st_size > 100
  cell = read_table(tmp_path)["rows"][1]["splits"]["test_shifted"]["all"]
  assert len(cell["values"]) == 2
  assert cell["half_width"] > 0
  assert set(starts(tmp_path).values()) == {1}
  # Again, with the file that was missing.
  labels = " ".join(small.dataset(data_dir).labels)
  words = sorted(set(labels.replace("_", " ").split()))
  lines = [f"{word} {i} {i % 3}\n" for i, word in enumerate(words)]
  (tmp_path / "absent.txt").write_text("".join(lines))
  code, _, err = call(*broken)
  assert code == 0, err
  assert states(tmp_path)["ml_gcn"] == ["done"] * 2
  assert not list(tmp_path.glob("runs/*/failed.json"))
  counts = starts(tmp_path)
  assert {n for k, n in counts.items() if k.startswith("ml_gcn")} == {2}
  assert {n for k, n in counts.items() if not k.startswith("ml_gcn")} == {1}


def start(given):
  return subprocess.Popen(
    command(*given), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
  )


def wait_for_training(process, workdir):
  """Waits until the first run has made a step, and returns its folder."""
  while True:
    for path in workdir.glob("runs/*/metrics.jsonl"):
      if path.stat().st_size:  # it is there, empty, before signals are heard
        return path.parent
    assert process.poll() is None, process.communicate()[1]
    time.sleep(0.05)


@pytest.mark.slow
def test_a_killed_sweep_goes_on_and_starts_no_run_twice(data_dir, tmp_path):
  given = flags(tmp_path, data_dir, "baseline,q2l", "0")
  process = start(given)
  wait_for_training(process, tmp_path)
  process.kill()  # the run itself lives on
  process.communicate()
  code, _, err = call(*given)
  assert code == 0, err
  assert states(tmp_path) == {"baseline": ["done"], "q2l": ["done"]}
  assert list(starts(tmp_path).values()) == [1, 1]


@pytest.mark.slow
def test_a_sweep_and_its_run_killed_together_go_on(data_dir, tmp_path):
  given = flags(tmp_path, data_dir, "baseline", "0")
  process = subprocess.Popen(
    command(*given),
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
    start_new_session=True,
  )
  while not list(tmp_path.glob("runs/*/metrics.jsonl")):
    assert process.poll() is None
    time.sleep(0.05)
  os.killpg(process.pid, signal.SIGKILL)
  process.wait()
  code, _, err = call(*given)
  assert code == 0, err
  assert states(tmp_path) == {"baseline": ["done"]}
  assert list(starts(tmp_path).values()) == [2]


@pytest.mark.slow
def test_sigterm_reaches_the_run_which_saves(data_dir, tmp_path):
  given = flags(tmp_path, data_dir, "baseline,q2l", "0", epochs=12)
  process = start(given)
  folder = wait_for_training(process, tmp_path)
  process.terminate()
  _, err = process.communicate(timeout=60)
  assert process.returncode == 143, err
  assert "the same command goes on" in err
  assert "Stopped after step" in (folder / "stderr.log").read_text()
  assert list((folder / "checkpoints").glob("[0-9]*"))
  assert not (folder / "failed.json").exists()
  assert len(starts(tmp_path)) == 1
  only = flags(tmp_path, data_dir, "baseline", "0", epochs=12)
  code, _, err = call(*only)
  assert code == 0, err
  assert "going on from step" in (folder / "stderr.log").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("sharded", [True, False])
def test_two_sweeps_side_by_side_make_no_run_twice(sharded, data_dir, tmp_path):
  given = flags(tmp_path, data_dir, "baseline,q2l", "0,1")
  shards = [["--shard=0/2"], ["--shard=1/2"]] if sharded else [[], []]
  processes = [start([*given, *shard]) for shard in shards]
  for process in processes:
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
  assert list(starts(tmp_path).values()) == [1] * 4
  assert states(tmp_path) == {"baseline": ["done"] * 2, "q2l": ["done"] * 2}
