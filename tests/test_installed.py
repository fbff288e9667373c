"""The program as a package: a wheel is built, installed and used elsewhere."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests import documentation
from tests.paths import ROOT

TRAINING = (
  "--config=configs/context_emoji.py",
  "--workdir=run",
  *documentation.SMALLER["context_emoji"],
)
# What a wheel is built from.
SOURCES = (
  *("causal_mlr_jax", "configs", "pyproject.toml", "setup.py"),
  *("requirements.txt", "requirements-export.txt", "README.md", "LICENSE"),
)


def call(*arguments, cwd, **environment):
  done = subprocess.run(
    list(map(str, arguments)),
    cwd=cwd,
    env=os.environ | environment,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stdout + done.stderr
  return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
  """The folder of an installation from a wheel."""
  source, wheels, target = map(
    tmp_path_factory.mktemp, ("source", "wheels", "installed")
  )
  for name in SOURCES:
    if (ROOT / name).is_dir():
      ignored = shutil.ignore_patterns("__pycache__")
      shutil.copytree(ROOT / name, source / name, ignore=ignored)
    else:
      shutil.copy(ROOT / name, source)
  pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
  offline = ("--no-deps", "--no-index")
  build = ("wheel", "--no-build-isolation", "--wheel-dir", wheels)
  call(*pip, *build, *offline, source, cwd=wheels)
  (wheel,) = wheels.glob("*.whl")
  call(*pip, "install", *offline, "--target", target, wheel, cwd=wheels)
  return target


@pytest.mark.slow
def test_a_wheel_trains_and_predicts_in_an_empty_folder(
  installed, dataset, tmp_path
):
  names = {path.name for path in installed.iterdir()}
  assert "configs" not in names  # a name that others may have
  path = {"PYTHONPATH": str(installed)}
  program = installed / "bin" / "causal-mlr"
  assert "--workdir" in call(program, "--help", cwd=tmp_path, **path)
  call(program, *TRAINING, cwd=tmp_path, **path)
  record = next(iter(dataset.source("test")))
  (tmp_path / "photo.png").write_bytes(record["image"])
  call(
    program,
    *("--mode=predict", "--workdir=run", "--images=photo.png"),
    *("--output=found.jsonl", "--top_k=3"),
    cwd=tmp_path,
    **path,
  )
  (line,) = (tmp_path / "found.jsonl").read_text().splitlines()
  assert len(json.loads(line)["labels"]) == 3
  rows = call(
    *(sys.executable, "-m", "causal_mlr_jax.sweep", "--table=modules"),
    *("--config=configs/context_emoji.py", "--dry-run", "--workdir=sweep"),
    cwd=tmp_path,
    **path,
  )
  assert "run(s), 0 done" in rows


@pytest.mark.slow
def test_a_wheel_says_what_it_needs_and_its_licence(installed):
  (metadata,) = installed.glob("causal_mlr_jax-*.dist-info/METADATA")
  text = metadata.read_text()
  assert "License-Expression: Apache-2.0" in text
  needed = [
    line.partition("#")[0].strip()
    for line in (ROOT / "requirements.txt").read_text().splitlines()
  ]
  for requirement in filter(None, needed):
    name = requirement.partition("=")[0].partition(">")[0]
    assert f"Requires-Dist: {name}" in text
  assert 'Requires-Dist: jax2onnx==0.13.0; extra == "export"' in text
  assert list(installed.glob("causal_mlr_jax-*.dist-info/licenses/LICENSE"))
