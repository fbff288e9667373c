"""Two recipes as they ship, at full size; one stops, goes on and evaluates.

The network, the resolution and the optimisation are the recipe's own; the
images are few and the weights random, in the official form. For a GPU:

  JAX_PLATFORMS=cuda python -m pytest -n 0 -m slow tests/test_full_size.py
"""

import json
import os
import re

import numpy as np
import pytest

from tests.data.builders import official
from tests.processes import finish, read_losses, start, wait_until
from tests.weights import torchvision_file

# Writer of the files, depth of the network, steps, and whether it stops.
RECIPES = {
  "coco_stuff:causal": (official.write_coco_stuff, 50, 3, True),
  "coco:q2l": (official.write_coco, 101, 1, False),
}


@pytest.mark.slow
@pytest.mark.optimised
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_runs_as_it_ships(recipe, tmp_path):
  write, depth, steps, stops = RECIPES[recipe]
  name, method = recipe.split(":")
  write(tmp_path / "photos")
  torchvision_file.write(tmp_path / "resnet.safetensors", depth=depth)
  base = [
    f"--config=configs/{name}.py:{method}",
    f"--config.data.manual_dir={tmp_path / 'photos'}",
    "--config.data.options.official_counts=False",
    f"--config.backbone.pretrained={tmp_path / 'resnet.safetensors'}",
    "--config.confounders.num=8",
    "--config.train.batch_size=4",
    f"--config.train.epochs={steps * 4 / 24}",
    "--config.train.log_every=1",
    "--config.evaluate.batch_size=4",
  ]
  workdir = tmp_path / "run"

  def begin(*flags):
    platform = os.environ["JAX_PLATFORMS"]
    variables = {"JAX_PLATFORMS": platform, "XLA_FLAGS": ""}
    return start(workdir, tmp_path / "data", flags, base, **variables)

  if stops:
    running = begin()
    log = workdir / "metrics.jsonl"
    wait_until(lambda: log.exists() and log.read_text(), running)
    running[0].terminate()
    (said,) = finish(running, 143)
    step = re.search(rf"Stopped after step ([12]) of {steps}", said)[1]
    (said,) = finish(begin())
    assert f"going on from step {step} of {steps}" in said
  else:
    finish(begin())
  losses = read_losses(workdir)
  assert len(losses) == steps
  assert np.isfinite(losses).all()
  report = workdir / "report" / "report.json"
  metrics = json.loads(report.read_text())["metrics"]
  assert metrics["test"]["images"] == 11
  if stops:
    report.unlink()
    finish(begin("--mode=evaluate"))
    assert json.loads(report.read_text())["metrics"] == metrics
