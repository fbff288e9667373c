"""The command line as a user meets it: its errors above all."""

import subprocess
import sys

import pytest

from tests.paths import ROOT

EMOJI = "--config=configs/context_emoji.py"


MISTAKES = {
  "key": ([EMOJI, "--config.train.epoch=3"], "epochs"),
  "section": ([EMOJI, "--config.confounder.num=3"], "confounders"),
  "type": ([EMOJI, "--config.train.epochs=many"], "epochs"),
  "method": ([EMOJI + ":q2"], "Did you mean 'q2l'"),
  "config file": (
    ["--config=configs/nothing.py"],
    "configs/nothing.py'. Expected --config=FILE",
  ),
  "no config": ([], "--config=FILE"),
  "mode": ([EMOJI, "--mode=trian"], "mode"),
  "flag": ([EMOJI, "--workdri=x"], "workdri"),
  "data set": (
    [EMOJI, "--config.data.name=context_emojis"],
    "Did you mean 'context_emoji'",
  ),
  "variant": ([EMOJI, "--config.data.variant=smal"], "Did you mean 'small'"),
  "backbone": ([EMOJI, "--config.backbone.name=resnets"], "'resnet'"),
  "loss": ([EMOJI, "--config.loss.name=bce"], "binary_cross_entropy"),
  "dtype": ([EMOJI, "--config.dtype=float16"], "bfloat16"),
  "threads": ([EMOJI, "--config.data.threads=-1"], "one per core"),
  "schedule": ([EMOJI, "--config.train.schedule=linear"], "one_cycle"),
  "kind": ([EMOJI, "--config.confounders.kind=kmean"], "'kmeans'"),
  "no target": (
    [
      EMOJI,
      "--config.confounders.data=target",
      "--config.confounders.target_splits=()",
    ],
    "target_splits",
  ),
  "number": ([EMOJI, "--config.confounders.num=0"], "at least 1"),
  "preprocessing": (
    [EMOJI, "--config.data.preprocess_train=decode|flip"],
    "Did you mean 'flip_lr'",
  ),
  "no official files": (["--config=configs/coco_stuff.py"], "manual_dir"),
  "intervention": (
    [EMOJI, "--config.method.intervention=postnorm"],
    "Did you mean 'post_norm'",
  ),
  "closed form": (
    [
      EMOJI,
      "--config.method.intervention=pre_norm",
      "--config.method.expectation=closed_form",
    ],
    "no closed form",
  ),
  "no confounders": (
    [EMOJI + ":q2l", "--mode=confounders"],
    "'q2l' needs no confounders",
  ),
  "depth": ([EMOJI, "--config.backbone.depth=34"], "Choices: 101, 18, 50"),
  "fusion": ([EMOJI, "--config.method.fusion=mean"], "mean_probability"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_message_and_leaves_nothing(program, name, tmp_path):
  arguments, words = MISTAKES[name]
  workdir, data = tmp_path / "run", tmp_path / "data"
  if arguments and arguments[0].startswith(EMOJI):
    arguments = [*arguments, f"--config.data.dir={data}"]
  code, out, err = program(*arguments, f"--workdir={workdir}")
  assert code == 2, err
  assert words in err
  assert "Traceback" not in err
  assert err.count("error:") == 1
  assert out == ""
  assert not workdir.exists()
  assert not data.exists()


def test_a_batch_size_that_devices_do_not_divide(program, tmp_path):
  code, _, err = program(EMOJI, f"--workdir={tmp_path / 'run'}", devices=3)
  assert code == 2
  assert "train.batch_size = 32 cannot be split over 3 devices" in err
  assert "30 or 33" in err
  assert not (tmp_path / "run").exists()


def test_an_unwritable_workdir(program, tmp_path):
  (tmp_path / "file").write_text("not a folder")
  code, _, err = program(EMOJI, f"--workdir={tmp_path / 'file' / 'run'}")
  assert code == 2
  assert "cannot be written" in err
  assert "Traceback" not in err


def test_missing_data_and_missing_checkpoint(program, tmp_path):
  flags = [EMOJI, f"--config.data.dir={tmp_path / 'data'}"]
  workdir = tmp_path / "run"
  code, _, err = program(*flags, f"--workdir={workdir}", "--mode=evaluate")
  assert code == 2
  assert "no checkpoint" in err
  assert "--mode=train" in err
  (workdir / "checkpoints" / "10").mkdir(parents=True)
  code, _, err = program(*flags, f"--workdir={workdir}", "--mode=evaluate")
  assert code == 2
  assert "is not in" in err
  assert "--config.data.dir" in err


def test_help_explains_the_modes():
  done = subprocess.run(
    [sys.executable, "-m", "causal_mlr_jax.main", "--help"],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=120,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  for words in ("confounders:", "evaluate:", "--workdir", "context_emoji.py"):
    assert words in done.stdout


def test_an_interruption_is_one_line(monkeypatch, capsys):
  from causal_mlr_jax import main as program

  def interrupt(argv):
    raise KeyboardInterrupt

  monkeypatch.setattr(program, "parse_flags", interrupt)
  assert program.cli(["main"]) == 130
  assert "goes on from the last checkpoint" in capsys.readouterr().err
