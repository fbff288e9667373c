"""Configurations are found in a checkout, and by an installed program."""

import importlib
import shutil
import sys

import pytest

from causal_mlr_jax.core import config_files
from tests.paths import ROOT


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
  """A current folder that is no checkout."""
  monkeypatch.chdir(tmp_path)
  return tmp_path


def test_a_file_that_is_there_is_taken(elsewhere):
  (elsewhere / "configs").mkdir()
  (elsewhere / "configs" / "coco.py").write_text("")
  assert config_files.find("configs/coco.py:q2l") == "configs/coco.py:q2l"


def test_else_the_programs_own_is_taken(elsewhere):
  own = ROOT / "configs" / "folder.py"
  given = ["program", "--config=configs/folder.py:causal,light", "--mode=train"]
  found = [given[0], f"--config={own}:causal,light", given[2]]
  assert config_files.with_own_files(given) == found
  apart = ["program", "--config", "configs/folder.py", "--config.seed=1"]
  assert config_files.with_own_files(apart) == [*apart[:2], str(own), apart[3]]


@pytest.mark.parametrize(
  "text", ["configs/nothing.py", "other/coco.py", "coco.py", "configs", ""]
)
def test_nothing_else_is_guessed(elsewhere, text):
  assert config_files.find(text) == text


def test_a_users_configuration_builds_on_the_programs_own(
  elsewhere, monkeypatch
):
  package = elsewhere / "installed" / "causal_mlr_jax"
  shutil.copytree(ROOT / "configs", package / "configs")
  monkeypatch.setattr(config_files, "_FOLDERS", (package / "configs",))
  (elsewhere / "configs").mkdir()
  (elsewhere / "configs" / "mine.py").write_text("from configs import common")
  kept = {name: sys.modules[name] for name in sys.modules if _of(name)}
  for name in kept:
    del sys.modules[name]
  try:
    config_files.with_own_files(["program"])
    mine = importlib.import_module("configs.mine")
    assert mine.common.__file__ == str(package / "configs" / "common.py")
  finally:
    for name in [name for name in sys.modules if _of(name)]:
      del sys.modules[name]
    sys.modules.update(kept)


def _of(name):
  return name.partition(".")[0] == "configs"
