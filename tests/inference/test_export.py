"""An exported model predicts what the model in hand does."""

import json
import pathlib
import shutil
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
from causal_mlr_jax.inference.export import onnx, write_folder
from causal_mlr_jax.inference.trained_model import TrainedModel
from causal_mlr_jax.training import model as model_lib
from causal_mlr_jax.weights import safetensors_files
from causal_mlr_jax.weights.mapping import published_methods
from tests.inference.exported import images, make_bundle
from tests.small import few

METHODS = lookup.names(model_lib.METHODS)
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


def export(workdir, output, name):
  run.use(str(workdir), "export", run.Request(output=str(output), format=name))


def agree(found, want, atol):
  np.testing.assert_allclose(
    found["probabilities"], want.probabilities, rtol=0, atol=atol
  )
  for name, value in want.parts.items():
    np.testing.assert_allclose(found[name], value, rtol=0, atol=atol)
  assert set(found) == {"logits", "probabilities", *want.parts}


def test_an_exported_run_is_loaded_and_predicts_the_same_bits(
  causal_run, tmp_path
):
  export(causal_run, tmp_path / "out", "safetensors")
  model = causal_mlr_jax.load(causal_run)
  again = causal_mlr_jax.load(tmp_path / "out")
  assert again.labels == model.labels
  assert again.temperature == model.temperature
  np.testing.assert_array_equal(again.thresholds, model.thresholds)
  for want, got in zip(model.predict(images()), again.predict(images())):  # noqa: B905
    jax.tree.map(np.testing.assert_array_equal, got, want)
  files = {path.name for path in (tmp_path / "out").iterdir()}
  assert files == {"model.safetensors", "model.json"}
  text = (tmp_path / "out" / "model.json").read_text()
  found = json.loads(text)
  assert found["method"] == "causal"
  assert found["config"]["data"]["dir"] == ""
  assert found["normalisation"]["mean"][0] == pytest.approx(123.675)


@pytest.mark.parametrize("method", few(METHODS, ("baseline", "c_tran")))
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


@pytest.mark.parametrize("method", few(METHODS, ("q2l",)))
def test_stablehlo_runs_with_only_jax_and_numpy(method, tmp_path):
  bundle = make_bundle(method)
  out = tmp_path / "out"
  write_folder.write(bundle, out, "stablehlo")
  np.save(tmp_path / "images.npy", images())
  arguments = (out / "model.stablehlo", tmp_path / "images.npy")
  subprocess.run(
    [sys.executable, "-c", ALONE, *arguments, tmp_path / "found.npz"],
    check=True,
    cwd=tmp_path,
  )
  with np.load(tmp_path / "found.npz") as file:
    agree(dict(file), TrainedModel(bundle).predict(images()), 1e-5)
  text = json.loads((out / "model.json").read_text())["files"]
  assert "never the only copy" in text["model.stablehlo"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", METHODS)
def test_onnx_runs_in_onnxruntime(method, tmp_path):
  onnxruntime = pytest.importorskip("onnxruntime")
  pytest.importorskip("jax2onnx")
  bundle = make_bundle(method)
  write_folder.write(bundle, tmp_path / "out", "onnx")
  session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
  names = [value.name for value in session.get_outputs()]
  model = TrainedModel(bundle)
  for count in (1, 3):
    found = session.run(names, {"image": images(count)})
    want = model.predict(images(count))
    agree(dict(zip(names, found, strict=True)), want, 1e-4)


def test_onnx_without_its_packages_says_what_to_install(tmp_path, monkeypatch):
  monkeypatch.setattr(onnx, "PACKAGES", ("no_such_package",))
  bundle = make_bundle("baseline")
  with pytest.raises(UserError, match=r"requirements-export\.txt"):
    write_folder.write(bundle, tmp_path / "out", "onnx")
  assert not list(tmp_path.iterdir())


def test_published_keys_are_read_again(baseline_run, data_dir, tmp_path):
  from tests import small

  export(baseline_run, tmp_path / "out", "torch")
  file = tmp_path / "out" / "torch.safetensors"
  options = {"init_from": str(file), "init_label_order": "dataset"}
  config = small.config("baseline", data_dir, **small.SHORT, **options)
  run.run(config, str(tmp_path / "run"), "import")
  want = causal_mlr_jax.load(baseline_run).predict(images())
  found = causal_mlr_jax.load(tmp_path / "run").predict(images())
  np.testing.assert_array_equal(found.probabilities, want.probabilities)


@pytest.mark.parametrize("method", lookup.names(published_methods.LAYOUTS))
def test_published_keys_of_every_layout_become_the_same_variables(
  method, tmp_path
):
  bundle = make_bundle(method)
  write_folder.write(bundle, tmp_path / "out", "torch")
  state = safetensors_files.state_dict(tmp_path / "out" / "torch.safetensors")
  found = published_methods.convert_method(
    method, "resnet", state, bundle.variables
  )
  jax.tree.map(np.testing.assert_array_equal, found, bundle.variables)


def test_no_published_keys_write_nothing(causal_run, tmp_path):
  with pytest.raises(UserError, match="No published program"):
    export(causal_run, tmp_path / "out", "torch")
  with pytest.raises(UserError, match=r"Unknown format 'tflite'"):
    export(causal_run, tmp_path / "out", "tflite")
  assert not list(tmp_path.iterdir())


def test_only_an_earlier_export_is_replaced(tmp_path):
  bundle, out = make_bundle("baseline"), tmp_path / "out"
  write_folder.write(bundle, out, "torch")
  assert write_folder.check_output(str(out)) == out
  write_folder.write(bundle, out, "safetensors")
  assert not (out / "torch.safetensors").exists()
  assert [path.name for path in tmp_path.iterdir()] == ["out"]
  (tmp_path / "mine").mkdir()
  (tmp_path / "mine" / "notes.txt").write_text("mine")
  for path in (tmp_path / "mine", tmp_path / "mine" / "notes.txt"):
    with pytest.raises(UserError, match="no earlier export"):
      write_folder.check_output(str(path))


def test_damaged_files_are_named(tmp_path):
  whole = tmp_path / "whole"
  write_folder.write(make_bundle("baseline"), whole, "safetensors")

  def broken(change) -> pathlib.Path:
    folder = tmp_path / "broken"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    change(folder)
    return folder

  def edit(**values):
    def change(folder):
      path = folder / "model.json"
      path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change

  def cut(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-9])

  for change, words in (
    (cut, "whole safetensors file"),
    (lambda folder: (folder / "model.safetensors").unlink(), "No such file"),
    (edit(format=99), "the format 99"),
    (edit(labels=["a", "b"]), "weights are of another model"),
    (edit(config={}), "damaged"),
  ):
    with pytest.raises(UserError, match=words):
      causal_mlr_jax.load(broken(change))
