"""A trained model predicts what the run's evaluation scored."""

import io
import json
import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

import causal_mlr_jax
from causal_mlr_jax import run
from causal_mlr_jax.core import parallel
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data import pipeline
from causal_mlr_jax.inference import image_batches
from causal_mlr_jax.inference.bundle import check_variables, read_workdir
from causal_mlr_jax.inference.trained_model import TrainedModel
from causal_mlr_jax.training import model as model_lib
from causal_mlr_jax.training import predict
from tests import small


@pytest.fixture(scope="module")
def moved(causal_run, tmp_path_factory):
  """The folder of a run, somewhere else."""
  path = tmp_path_factory.mktemp("moved") / "run"
  shutil.copytree(causal_run, path)
  return path


@pytest.fixture(scope="module")
def model(moved):
  return causal_mlr_jax.load(moved)


@pytest.fixture(scope="module")
def encoded(dataset):
  return [record["image"] for record in dataset.source("test")]


def evaluated(bundle, dataset, split):
  """Scores of a split as the evaluation of a run computes them."""
  mesh = parallel.make_mesh()
  method = model_lib.find_method(bundle.config.method.name)
  model = model_lib.make_model(bundle.config, len(bundle.labels))
  batches = pipeline.evaluation_batches(dataset, split, "decode", 48)
  variables, side = parallel.replicate((bundle.variables, bundle.side), mesh)
  scores, _ = predict.predict_split(
    predict.make_predict_step(model, method, mesh),
    variables,
    side,
    batches,
    len(dataset.source(split)),
    mesh,
    split,
  )
  return scores


def test_predictions_are_the_scores_of_the_evaluation(model, dataset, encoded):
  assert model.labels == tuple(dataset.labels)
  found = model.predict(encoded)
  want = evaluated(model.bundle, dataset, "test")
  np.testing.assert_allclose(found.probabilities, want, rtol=0, atol=1e-6)
  assert set(found.parts) == {"decoupled", "causal"}
  mean = (found.parts["decoupled"] + found.parts["causal"]) / 2
  np.testing.assert_allclose(found.probabilities, mean, atol=1e-6)
  np.testing.assert_array_equal(found.index, np.arange(len(encoded)))


def test_any_kind_of_image_gives_the_same(model, encoded, tmp_path):
  want = model.predict(encoded[:3], batch_size=4).probabilities
  images = [Image.open(io.BytesIO(data)) for data in encoded[:3]]
  arrays = [np.asarray(image.convert("RGB")) for image in images]
  paths = [tmp_path / f"{i} ü.png" for i in range(3)]
  for path, data in zip(paths, encoded[:3], strict=True):
    path.write_bytes(data)
  mixed = [images[0], arrays[1], str(paths[2])]
  for given in (images, arrays, paths, mixed, np.stack(arrays)):
    found = model.predict(given, batch_size=4).probabilities
    np.testing.assert_allclose(found, want, atol=1e-6)
  for one in (images[1], arrays[1], paths[1], str(paths[1]), encoded[1]):
    found = model.predict(one, batch_size=4).probabilities
    np.testing.assert_allclose(found, want[1:2], atol=1e-6)


def test_an_image_of_another_size_is_resized_and_it_is_said(model, capsys):
  image_batches._say_resized.cache_clear()  # it is said once
  big = np.random.default_rng(0).integers(0, 256, (123, 77, 3), np.uint8)
  found = model.predict(big)
  assert np.isfinite(found.probabilities).all()
  assert "resized to 64 x 64" in capsys.readouterr().err


@pytest.mark.parametrize(
  ("image", "words"),
  [
    (np.zeros((4, 4, 3), np.float32), r"uint8.*got float32 \[4, 4, 3\]"),
    (np.zeros((4, 4, 5), np.uint8), r"1, 3 or 4 channels.*\(4, 4, 5\)|\[4, 4"),
    (b"no image", "8 bytes that begin with b'no image'.*JPEG, PNG"),
    ("nowhere.jpg", "nowhere.jpg cannot be read: No such file"),
  ],
)
def test_what_is_no_image_is_named(model, encoded, image, words):
  with pytest.raises(UserError, match=words):
    model.predict([encoded[0], image])


def test_no_images_no_predictions(model):
  assert model.predict([]).probabilities.shape == (0, 32)


def test_thresholds_and_temperature_are_of_the_validation_images(
  moved, model, dataset
):
  found = json.loads((moved / "thresholds.json").read_text())
  assert found["split"] == "validation"
  assert list(found["labels"]) == list(dataset.labels)
  labels = dataset.label_matrix("validation")
  scores = evaluated(model.bundle, dataset, "validation")
  decided = scores >= model.thresholds
  for n, row in enumerate(found["labels"].values()):
    assert row["positives"] == labels[:, n].sum()
    if row["f1"] is None:
      continue
    hits = (decided[:, n] * labels[:, n]).sum()
    f1 = 2 * hits / (decided[:, n].sum() + labels[:, n].sum())
    assert f1 == pytest.approx(row["f1"])
  assert 0.05 <= model.temperature <= 20


def test_calibrated_probabilities_are_of_scaled_logits(model, encoded):
  plain, calibrated = (
    model.predict(encoded[:8], calibrated=value).probabilities.astype(float)
    for value in (False, True)
  )
  logits = np.log(plain) - np.log1p(-plain)
  want = 1 / (1 + np.exp(-logits / model.temperature))
  np.testing.assert_allclose(calibrated, want, atol=1e-4)
  assert np.abs(calibrated - plain).max() > 1e-4


def test_the_configuration_on_disk_makes_the_same_model(moved, data_dir):
  bundle = read_workdir(moved)
  ours = model_lib.make_model(bundle.config, 32)
  theirs = model_lib.make_model(small.config("causal", data_dir), 32)
  assert ours == theirs


def test_a_folder_that_is_none_of_a_run_is_named(tmp_path, moved):
  with pytest.raises(UserError, match=r"not the folder of a trained run"):
    causal_mlr_jax.load(tmp_path)
  part = tmp_path / "part"
  shutil.copytree(moved, part, ignore=shutil.ignore_patterns("confounders"))
  with pytest.raises(UserError, match=r"needs confounders.*not whole"):
    causal_mlr_jax.load(part)
  shutil.rmtree(part / "checkpoints")
  with pytest.raises(UserError, match="no checkpoint"):
    causal_mlr_jax.load(part)


def test_weights_of_another_model_are_refused(moved):
  bundle = read_workdir(moved)
  variables = pickle.loads(pickle.dumps(bundle.variables))
  del variables["params"]["head"]["context"]["weight"]
  with pytest.raises(UserError, match=r"head/context/weight.*absent"):
    check_variables(bundle._replace(variables=variables))


def test_a_run_of_an_earlier_version_is_completed_by_its_evaluation(
  causal_run, data_dir, tmp_path
):
  path = tmp_path / "run"
  shutil.copytree(causal_run, path)
  known = json.loads((path / "data.json").read_text())
  del known["image_shape"]
  (path / "data.json").write_text(json.dumps(known))
  (path / "thresholds.json").unlink()
  with pytest.raises(UserError, match="--mode=evaluate"):
    causal_mlr_jax.load(path)
  run.run(small.config("causal", data_dir), str(path), "evaluate")
  found = causal_mlr_jax.load(path)
  assert isinstance(found, TrainedModel)
  assert found.thresholds is not None
