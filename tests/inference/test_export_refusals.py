"""What an export refuses: what cannot be written, and damaged folders."""

import json
import shutil

import pytest

import causal_mlr_jax
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.inference.export import onnx, stablehlo, write_folder
from causal_mlr_jax.inference.request import Request
from causal_mlr_jax.uses import use
from tests.inference.exported import export, make_bundle


def test_without_packages_it_is_said_what_to_install(
  tmp_path, monkeypatch, capsys
):
  monkeypatch.setattr(onnx, "PACKAGES", ("no_such_package",))
  monkeypatch.setattr(stablehlo, "PACKAGE", "no_such_package")
  bundle = make_bundle("causal")
  for name, words in (
    ("onnx", r"requirements-export\.txt"),
    ("stablehlo", "pip install no_such_package"),
  ):
    with pytest.raises(UserError, match=words):
      write_folder.write(bundle, tmp_path / "out", name)
  assert not list(tmp_path.iterdir())
  # All that can be had is written, and what is left out is said.
  write_folder.write(bundle, tmp_path / "out", "all")
  files = {path.name for path in (tmp_path / "out").iterdir()}
  assert files == {"model.safetensors", "model.json"}
  assert "no model.onnx: An ONNX file needs" in capsys.readouterr().err


def test_what_cannot_be_written_writes_nothing(causal_run, tmp_path):
  for name, words in (
    ("torch", "No published program"),
    ("tflite", "Unknown format 'tflite'"),
  ):
    with pytest.raises(UserError, match=words):
      export(causal_run, tmp_path / "out", name)
  with pytest.raises(UserError, match=r"temperature in model\.json"):
    use.use(str(causal_run), "export", Request(calibrated=True))
  own = make_bundle("c_tran", **{"method.input_projection": True})
  with pytest.raises(UserError, match="no array for params/"):
    write_folder.write(own, tmp_path / "out", "torch")
  assert not list(tmp_path.iterdir())
  assert not (causal_run / "export").exists()


def test_only_an_earlier_export_is_replaced(tmp_path):
  bundle, out = make_bundle("baseline"), tmp_path / "out"
  write_folder.write(bundle, out, "torch")
  assert write_folder.check_output(str(out)) == out
  write_folder.write(bundle, out, "safetensors")
  assert not (out / "torch.safetensors").exists()
  assert [path.name for path in tmp_path.iterdir()] == ["out"]
  (out / "predictions.jsonl").touch()
  (tmp_path / "mine").mkdir()
  (tmp_path / "mine" / "notes.txt").write_text("mine")
  for path in (out, tmp_path / "mine", tmp_path / "mine" / "notes.txt"):
    with pytest.raises(UserError, match="no earlier export"):
      write_folder.check_output(str(path))


def edit(**values):
  def change(folder):
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))

  return change


def cut(name):
  def change(folder):
    path = folder / name
    path.write_bytes(path.read_bytes()[:-9])

  return change


@pytest.mark.parametrize(
  ("change", "words"),
  [
    (cut("model.safetensors"), "whole safetensors file"),
    (lambda folder: (folder / "model.safetensors").unlink(), "No such file"),
    (cut("model.json"), "expected whole JSON"),
    (lambda folder: (folder / "model.json").write_text("[]"), "is not of a"),
    (edit(program="other"), "is not of a model"),
    (edit(format=99), "the format 99"),
    (edit(sha256="0"), "of different exports"),
    (edit(labels=["a", "b"]), "weights are of another model"),
    (edit(config={}), "damaged"),
    (edit(thresholds={}), r"wrong or missing: 'labels'"),
    (edit(thresholds={"labels": {}}), "wrong or missing: 'cake'"),
  ],
)
def test_damaged_files_are_named(exported_run, tmp_path, change, words):
  for name in ("model.json", "model.safetensors"):
    shutil.copy(exported_run / name, tmp_path)
  change(tmp_path)
  with pytest.raises(UserError, match=words) as error:
    causal_mlr_jax.load(tmp_path)
  assert str(tmp_path) in str(error.value) or "another model" in words


def test_a_run_with_damaged_thresholds_is_named(causal_run, tmp_path):
  shutil.copytree(causal_run, tmp_path / "run")
  (tmp_path / "run" / "thresholds.json").write_text(
    json.dumps({"temperature": "warm", "labels": {}})
  )
  with pytest.raises(UserError, match=r"thresholds\.json must have"):
    causal_mlr_jax.load(tmp_path / "run")
