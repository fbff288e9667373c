"""An exported model predicts what the model in hand does."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest

import causal_mlr_jax
from causal_mlr_jax import run
from causal_mlr_jax.core import lookup
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.inference import exported_model
from causal_mlr_jax.inference.export import (
  torch,
  write_folder,
)
from causal_mlr_jax.inference.request import Request
from causal_mlr_jax.inference.trained_model import TrainedModel
from causal_mlr_jax.training import model as model_lib
from causal_mlr_jax.uses import use
from causal_mlr_jax.weights import safetensors_files
from causal_mlr_jax.weights.mapping import published_methods
from configs import common
from tests import small
from tests.inference.exported import export, images, make_bundle

METHODS = lookup.names(model_lib.METHODS)
LAYOUTS = lookup.names(published_methods.LAYOUTS)
# Only what is named here is imported: none of this program.
ALONE = """
import sys
import jax, jax.export, numpy as np
with open(sys.argv[1], "rb") as file:
  program = jax.export.deserialize(bytearray(file.read()))
found = program.call(np.load(sys.argv[2]))
assert not [name for name in sys.modules if name.startswith("causal_mlr_jax")]
np.savez(sys.argv[3], **found)
"""


def agree(found, want, atol):
  np.testing.assert_allclose(
    found["probabilities"], want.probabilities, rtol=0, atol=atol
  )
  for name, value in want.parts.items():
    np.testing.assert_allclose(found[name], value, rtol=0, atol=atol)
  assert set(found) == {"logits", "probabilities", *want.parts}


def run_stablehlo(folder, batch, tmp_path):
  np.save(tmp_path / "images.npy", batch)
  arguments = (folder / "model.stablehlo", tmp_path / "images.npy")
  subprocess.run(
    [sys.executable, "-c", ALONE, *arguments, tmp_path / "found.npz"],
    check=True,
    cwd=tmp_path,
  )
  with np.load(tmp_path / "found.npz") as file:
    return dict(file)


def run_onnx(folder, batch):
  onnxruntime = pytest.importorskip("onnxruntime")
  session = onnxruntime.InferenceSession(folder / "model.onnx")
  names = [value.name for value in session.get_outputs()]
  found = session.run(names, {"image": batch})
  return dict(zip(names, found, strict=True))


def make_published(method):
  """A bundle of a model as published: C-Tran has no projection."""
  own = {"method.input_projection": False, "method.embed_dim": 32}
  return make_bundle(method, **(own if method == "c_tran" else {}))


@pytest.fixture(scope="module")
def run_model(causal_run):
  return causal_mlr_jax.load(causal_run)


@pytest.fixture(scope="module")
def want(run_model):
  return run_model.predict(images())


def test_an_exported_run_is_loaded_and_predicts_the_same_bits(
  run_model, want, exported_run
):
  again = causal_mlr_jax.load(exported_run)
  assert again.labels == run_model.labels
  assert again.temperature == run_model.temperature
  np.testing.assert_array_equal(again.thresholds, run_model.thresholds)
  got = again.predict(images())
  jax.tree.map(np.testing.assert_array_equal, tuple(got), tuple(want))


def test_stablehlo_runs_with_only_jax_and_numpy(want, exported_run, tmp_path):
  agree(run_stablehlo(exported_run, images(), tmp_path), want, 1e-5)


def test_onnx_runs_in_onnxruntime(want, exported_run):
  for count in (1, 3):
    first = want._replace(
      probabilities=want.probabilities[:count],
      parts={name: value[:count] for name, value in want.parts.items()},
    )
    agree(run_onnx(exported_run, images(count)), first, 1e-4)


def test_what_the_folder_holds_and_says(causal_run, exported_run):
  assert {path.name for path in exported_run.iterdir()} == {
    *("model.safetensors", "model.json", "model.stablehlo", "model.onnx"),
    "model_card.md",
  }
  text = (exported_run / "model.json").read_text()
  assert str(causal_run.parent) not in text  # no path of this machine
  found = json.loads(text)
  assert found["method"] == "causal"
  assert found["normalisation"]["mean"][0] == pytest.approx(123.675)
  assert found["preprocessing"] == [{"op": "decode"}]
  assert "never the only copy" in found["files"]["model.stablehlo"]
  assert found["left_out"].keys() == {"torch"}
  card = causal_run / "model_card.md"
  assert (exported_run / "model_card.md").read_text() == card.read_text()


def test_modes_take_an_exported_folder(exported_run, tmp_path, capsys):
  from PIL import Image

  Image.fromarray(images(1)[0]).save(tmp_path / "1.png")
  output = tmp_path / "found.jsonl"
  request = Request(images=str(tmp_path / "1.png"), output=str(output))
  use.use(str(exported_run), "predict", request)
  assert len(json.loads(output.read_text())["labels"]) == 32
  use.use(
    str(exported_run),
    "explain",
    request._replace(output=str(tmp_path / "explained"), top_k=1),
  )
  assert (tmp_path / "explained" / "1.png").exists()
  use.use(str(exported_run), "info", Request())
  assert "Model card: causal" in capsys.readouterr().out
  with pytest.raises(UserError, match="is an exported model"):
    use.use(str(exported_run), "report", Request())
  export(exported_run, tmp_path / "again", "safetensors")
  for name in ("model.safetensors", "model_card.md"):
    again = (tmp_path / "again" / name).read_bytes()
    assert again == (exported_run / name).read_bytes()


@pytest.mark.parametrize("method", small.few(METHODS, ("baseline", "c_tran")))
def test_arrays_of_every_method_come_back(method, tmp_path):
  bundle = make_bundle(method)
  write_folder.write(bundle, tmp_path / "out", "safetensors")
  found = exported_model.read(tmp_path / "out")
  for field in ("variables", "side"):
    jax.tree.map(
      np.testing.assert_array_equal,
      getattr(found, field),
      dict(getattr(bundle, field)),
    )
  assert found.labels == bundle.labels
  assert found.step == bundle.step


def test_no_folder_of_the_machine_that_trained_is_written(tmp_path):
  bundle = make_bundle(
    "causal",
    **{"init_from": "/secret/run", "backbone.pretrained": "/secret/own.pth"},
  )
  write_folder.write(bundle, tmp_path / "out", "safetensors")
  text = (tmp_path / "out" / "model.json").read_text()
  assert "secret" not in text
  assert json.loads(text)["config"]["backbone"]["pretrained"] == "own.pth"
  TrainedModel(exported_model.read(tmp_path / "out"))


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_both_programs(method, tmp_path):
  bundle, out = make_published(method), tmp_path / "out"
  write_folder.write(bundle, out, "all")
  want = TrainedModel(bundle).predict(images())
  agree(run_stablehlo(out, images(), tmp_path), want, 1e-5)
  agree(run_onnx(out, images()), want, 1e-4)
  assert (out / "torch.safetensors").exists() == (method in LAYOUTS)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet", "efficientnet_lite", "beit3"])
def test_every_backbone_has_both_programs(name, tmp_path):
  section, out = common.backbone(name), tmp_path / "out"
  if name == "beit3":
    section.update(embed_dim=32, num_layers=2, num_heads=4, hidden=64)
  elif name == "resnet":  # with the first layers that photographs need
    section.update(depth=18, stage_sizes=(1, 1, 1, 1), width=8)
  if "frozen_batch_norm" in section:  # as for own images
    section.frozen_batch_norm = True
  bundle = make_bundle("causal", section)
  write_folder.write(bundle, out, "all")
  want = TrainedModel(bundle).predict(images())
  agree(run_stablehlo(out, images(), tmp_path), want, 1e-5)
  agree(run_onnx(out, images()), want, 1e-4)


@pytest.mark.slow
def test_a_wrong_onnx_file_is_not_written(tmp_path):
  # The converter fixes the number of images in this form of the expectation.
  bundle = make_bundle(
    "causal",
    **{"method.intervention": "pre_norm", "method.expectation": "vmapped"},
  )
  with pytest.raises(UserError, match=r"jax2onnx cannot convert .* 'causal'"):
    write_folder.write(bundle, tmp_path / "out", "onnx")
  assert not list(tmp_path.iterdir())


def test_published_keys_are_read_again(baseline_run, data_dir, tmp_path):
  export(baseline_run, tmp_path / "out", "torch")
  file = tmp_path / "out" / "torch.safetensors"
  options = {"init_from": str(file), "init_label_order": "dataset"}
  config = small.config("baseline", data_dir, **small.SHORT, **options)
  run.run(config, str(tmp_path / "run"), "import")
  want = causal_mlr_jax.load(baseline_run).predict(images())
  found = causal_mlr_jax.load(tmp_path / "run").predict(images())
  np.testing.assert_array_equal(found.probabilities, want.probabilities)


@pytest.mark.parametrize("method", LAYOUTS)
def test_published_keys_of_every_layout_become_the_same_variables(
  method, tmp_path
):
  bundle = make_published(method)
  torch.write(bundle, tmp_path / "torch.safetensors")
  state = safetensors_files.state_dict(tmp_path / "torch.safetensors")
  found = published_methods.convert_method(
    method, "resnet", state, bundle.variables
  )
  jax.tree.map(np.testing.assert_array_equal, found, bundle.variables)


def test_how_to_read_published_keys_of_a_variant_is_said():
  found = torch.what(make_bundle("ssgrl"))
  assert "--config.method.variant=corrected" in found
  assert "other scores" in found
  assert "--config.init_label_order=dataset" in found
  found = torch.what(make_bundle("ssgrl", **{"method.variant": "published"}))
  assert "variant" not in found
