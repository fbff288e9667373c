"""Every image of an evaluation split is scored once, on any set of devices."""

import json
import pathlib
import sys

import jax
import ml_collections
import numpy as np
import pytest
from PIL import Image

from causal_mlr_jax.core import parallel
from causal_mlr_jax.data.preprocess import op_string
from causal_mlr_jax.stages import data as data_stage
from causal_mlr_jax.stages import (
  evaluation,
  model,
  side_inputs,
  transfer,
)
from causal_mlr_jax.stages.experiment import Experiment
from causal_mlr_jax.stages.report import run_report
from causal_mlr_jax.training import model as model_lib
from causal_mlr_jax.training import predict
from causal_mlr_jax.workdir import Workdir
from tests.devices import run_on_devices
from tests.processes import finish, slurm, start_each
from tests.test_official import make_config, make_transfer_config, train

PROCESSES = 2
# Far more than it takes: other work may share the machine.
TIMEOUT = 1800
# In a process of its own, of which there may be several.
SNIPPET = """
from causal_mlr_jax.core import parallel
if {distributed}:
  parallel.initialize()
  assert jax.process_count() == 2 and jax.device_count() == 4
from tests.test_official_parallel import evaluate_again
evaluate_again({workdir!r}, {out!r})
print(json.dumps(jax.device_count()))
"""


def draw_anew(folder):
  """Puts other noise into each JPEG: images alike would hide a mix-up."""
  for i, path in enumerate(sorted(folder.rglob("*.jpg"))):
    with Image.open(path) as image:
      shape = (image.height, image.width, 3)
    rng = np.random.default_rng(i)
    # Of other brightness and colour, too, which small networks see at once.
    low, high = sorted(rng.uniform(0, 256, (2, 3)), key=np.sum)
    noise = low + (high - low) * rng.random(shape)
    Image.fromarray(noise.astype(np.uint8)).save(path, quality=95)


def open_run(workdir):
  """What the program makes of a trained run before it evaluates it."""
  folder = Workdir(str(workdir))
  values = json.loads(folder.config.read_text())
  config = ml_collections.ConfigDict(values).lock()
  mesh = parallel.make_mesh()
  method = model_lib.find_method(config.method.name)
  experiment = Experiment(config, folder, mesh, method, {}, reuse_only=True)
  dataset = data_stage.prepare(experiment)
  inputs = side_inputs.prepare(experiment, dataset)
  learner = model.make_learner(experiment, dataset, inputs)
  _, variables = model.best_variables(experiment, learner)
  return experiment, dataset, inputs, learner, variables


def evaluation_splits(experiment, dataset):
  """Yields (name, data set, split) of all that is evaluated."""
  config = experiment.config
  for split in (config.data.validation_split, *config.data.test_splits):
    yield split, dataset, split
  if config.transfer.name:
    target = data_stage.open_dataset(
      config.transfer, config.transfer.test_splits
    )
    for split in config.transfer.test_splits:
      yield f"{target.name}:{split}", target, split


def evaluate_again(workdir, out):
  """Scores a run's splits as the program does, and writes its report."""
  experiment, dataset, inputs, learner, variables = open_run(workdir)
  step = predict.make_predict_step(
    learner.model, experiment.method, experiment.mesh
  )
  found = {}
  for name, data, split in evaluation_splits(experiment, dataset):
    scores, labels = evaluation.predictions(
      experiment, data, split, step, variables, inputs
    )
    found |= {f"{name} scores": scores, f"{name} labels": labels}
  np.savez(f"{out}-{jax.process_index()}.npz", **found)
  target = transfer.prepare(experiment, dataset)
  run_report.report(experiment, dataset, inputs, learner, target)


def expected(workdir):
  """The scores and labels without pipeline, batches or masks.

  All images of a split, in its order, go through the model at once.
  """
  experiment, dataset, inputs, learner, variables = open_run(workdir)
  op = op_string.parse(experiment.config.data.preprocess_evaluate)
  forward = jax.jit(
    lambda v, images: experiment.method.scores(
      learner.model.apply(v, images, inputs.shared, train=False)
    )
  )
  found = {}
  for name, data, split in evaluation_splits(experiment, dataset):
    records = list(data.source(split))
    rng = np.random.default_rng(0)
    images = np.stack([op(record["image"], rng) for record in records])
    found[f"{name} scores"] = np.asarray(forward(variables, images))
    found[f"{name} labels"] = data.label_matrix(split)
  return found


def on_one_device(workdir, out):
  assert jax.device_count() == 1
  evaluate_again(workdir, out)


def on_eight_devices(workdir, out):
  code = SNIPPET.format(distributed=False, workdir=str(workdir), out=str(out))
  assert run_on_devices(code, 8, TIMEOUT) == 8


def in_two_processes(workdir, out):
  """Two processes with two devices each."""
  code = SNIPPET.format(distributed=True, workdir=str(workdir), out=str(out))
  command = [sys.executable, "-W", "error", "-c", f"import jax, json\n{code}"]
  finish(start_each(command, slurm(PROCESSES, devices=2)), timeout=TIMEOUT)


PLACES = [on_one_device, on_eight_devices, in_two_processes]


def assert_the_same(found, wanted):
  """Holds the scores of a place to those without pipeline."""
  assert set(found) == set(wanted)
  for key, values in wanted.items():
    assert found[key].shape == values.shape, key
    if key.endswith("labels"):
      np.testing.assert_array_equal(found[key], values, key)
    else:
      np.testing.assert_allclose(found[key], values, atol=1e-5, err_msg=key)


def metrics_of(workdir):
  run_report = workdir / "report" / "report.json"
  return json.loads(run_report.read_text())["metrics"]


def assert_metrics_equal(found, wanted, where=""):
  assert type(found) is type(wanted), where
  if isinstance(wanted, dict):
    assert found.keys() == wanted.keys(), where
    for key, value in wanted.items():
      assert_metrics_equal(found[key], value, f"{where}/{key}")
  elif isinstance(wanted, list):
    assert len(found) == len(wanted), where
    for i, value in enumerate(wanted):
      assert_metrics_equal(found[i], value, f"{where}/{i}")
  else:
    assert found == pytest.approx(wanted, abs=1e-4), where


@pytest.mark.slow
@pytest.mark.parametrize(
  ("name", "method", "sizes"),
  [
    ("coco_stuff", "causal", {"test": 11}),
    ("deepfashion", "q2l", {"validation": 8, "test": 8}),
    ("nus_wide", "causal", {"test": 12}),
    ("coco_to_nus", "q2l", {"test": 11, "nus_wide:test": 12}),
    ("folder", "causal", {"validation": 2, "test": 2}),
  ],
)
def test_every_image_is_scored_once_anywhere(name, method, sizes, tmp_path):
  if name == "coco_to_nus":
    config = make_transfer_config(method, tmp_path)
  else:
    config = make_config(name, method, tmp_path, name)
  draw_anew(tmp_path)
  workdir = tmp_path / "run"
  train(config, workdir)
  wanted = expected(workdir)
  metrics = metrics_of(workdir)
  for split, size in sizes.items():
    scores = wanted[f"{split} scores"]
    assert len(scores) == size
    apart = np.abs(scores[:, None] - scores).max(-1) + np.eye(size)
    assert apart.min() > 1e-3  # else a wrong order could pass
    if split in metrics:
      assert metrics[split]["images"] == size
  for place in PLACES:
    (workdir / "report" / "report.json").unlink()
    place(workdir, tmp_path / place.__name__)
    files = sorted(pathlib.Path(tmp_path).glob(f"{place.__name__}-*.npz"))
    assert len(files) == (PROCESSES if place is in_two_processes else 1)
    for file in files:
      with np.load(file) as found:
        assert_the_same(dict(found), wanted)
    assert_metrics_equal(metrics_of(workdir), metrics)
