"""The main job as a user starts it: COCO-Stuff from files and ImageNet weights.

The images are few, the network narrow and the file of weights random, all in
the official form; the program, its recipe and its stages are the real ones.
"""

import hashlib
import json
import re

import numpy as np
import pytest

from tests.data.builders import official
from tests.devices import xla_flags
from tests.processes import finish, read_losses, start, wait_until
from tests.weights import torchvision_file

# One device, eight, and two processes of four.
PLACES = [(1, 1), (1, 8), (2, 4)]
STEPS = 18  # 6 epochs of 24 images
NARROW = {"depth": 50, "stage_sizes": (1, 1, 1, 1), "width": 16}
BASE = [
  "--config=configs/coco_stuff.py:causal",
  "--config.data.options.official_counts=False",
  *(f"--config.backbone.{key}={value}" for key, value in NARROW.items()),
  "--config.data.preprocess_train=decode|random_resized_crop(64)|flip_lr",
  "--config.data.preprocess_evaluate=decode|resize(64)",
  "--config.method.embed_dim=32",
  "--config.method.hidden=64",
  "--config.confounders.num=8",
  "--config.confounders.image_size=64",
  "--config.confounders.batch_size=8",
  "--config.confounders.max_positions=50",
  "--config.train.batch_size=8",
  "--config.train.epochs=6",
  "--config.train.log_every=1",
  "--config.evaluate.batch_size=8",
  "--config.evaluate.every_epochs=2",
]


@pytest.fixture
def photos(tmp_path):
  official.write_coco_stuff(tmp_path / "photos")
  return f"--config.data.manual_dir={tmp_path / 'photos'}"


def test_without_weights_it_is_refused_before_anything_is_prepared(
  program, photos, tmp_path
):
  code, _, err = program(
    "--config=configs/coco_stuff.py",
    photos,
    f"--workdir={tmp_path / 'run'}",
    f"--config.data.dir={tmp_path / 'data'}",
  )
  assert code == 2
  assert "Traceback" not in err
  for words in ("resnet50-0676ba61.pth (98 MB)", "pretrained=FILE", "=scratch"):
    assert words in err
  assert not (tmp_path / "run").exists()
  assert not (tmp_path / "data").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "devices"), PLACES)
def test_it_trains_stops_goes_on_and_reports(
  processes, devices, photos, tmp_path
):
  file, workdir = tmp_path / "resnet.safetensors", tmp_path / "run"
  torchvision_file.write(file, **NARROW)
  digest = hashlib.sha256(file.read_bytes()).hexdigest()

  def begin():
    return start(
      workdir,
      tmp_path / "data",
      [photos, f"--config.backbone.pretrained={file}"],
      BASE,
      processes,
      XLA_FLAGS=xla_flags(devices),
    )

  running = begin()
  log = workdir / "metrics.jsonl"
  wait_until(lambda: log.exists() and log.read_text(), running)
  running[-1].terminate()
  said = finish(running, 143)
  step = int(re.search(r"Stopped after step (\d+)", said[0])[1])
  assert 0 < step < STEPS
  # What it started from is written down, and not needed any more.
  file.rename(tmp_path / "moved")
  said = finish(begin())
  assert f"going on from step {step} of {STEPS}" in said[0]
  losses = read_losses(workdir)
  assert len(losses) == STEPS
  assert np.isfinite(losses).all()
  report = json.loads((workdir / "report" / "report.json").read_text())
  assert report["metrics"]["test"]["images"] == 11
  assert report["started_from"]["backbone"] == f"sha256:{digest}"
  assert report["versions"]["device"].startswith(f"{processes * devices} x")
  assert (
    f"backbone from sha256:{digest}" in (workdir / "parameters.txt").read_text()
  )
