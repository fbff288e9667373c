"""Weights of a run, and of a published file, give the same scores here."""

import json

import numpy as np
import pytest
import safetensors.numpy

from causal_mlr_jax import run
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data import dataset as dataset_lib
from causal_mlr_jax.training.checkpoint import Checkpoints
from causal_mlr_jax.weights import init_from
from causal_mlr_jax.weights.mapping import convert
from tests import small
from tests.paths import GOLDEN
from tests.weights.torchvision_file import LEAVES, STATISTICS, torch_key


@pytest.fixture(scope="module")
def labels(data_dir):
  return list(dataset_lib.open_prepared(small.builder(data_dir)).labels)


def exported(workdir, labels):
  """The run's averaged variables under published names, labels sorted."""
  checkpoints = Checkpoints(workdir / "checkpoints")
  state = checkpoints.read(
    checkpoints.best_step, ("ema_params", "ema_model_state")
  )
  tree = {"params": state["ema_params"], **state["ema_model_state"]}
  order = [labels.index(label) for label in sorted(labels)]
  arrays = {}
  for path, value in convert.by_path(tree).items():
    collection, part, rest = path.split("/", 2)
    value = np.asarray(value)
    layer, _, leaf = rest.rpartition("/")
    if value.ndim == 4:
      value = value.transpose(3, 2, 0, 1)
    if part == "head":
      name = f"fc.{LEAVES[leaf]}"
      value = (value.T if leaf == "kernel" else value)[order]
    else:
      leaves = LEAVES if collection == "params" else STATISTICS
      name = torch_key(f"{layer}/{leaves[leaf]}")
    arrays[f"module.{name}"] = np.ascontiguousarray(value)
  return arrays


def score(config, workdir):
  run.run(config, str(workdir), "import")
  run.run(config, str(workdir), "evaluate")
  return json.loads((workdir / "report" / "report.json").read_text())


def test_a_published_file_scores_as_the_run_it_came_from(
  baseline_run, labels, data_dir, tmp_path, capsys
):
  file = tmp_path / "weights.safetensors"
  safetensors.numpy.save_file(exported(baseline_run, labels), file)
  want = json.loads((baseline_run / "report" / "report.json").read_text())
  options = small.SHORT | {"init_from": str(file)}
  config = small.config(
    "baseline", data_dir, **options, init_label_order="alphabetical"
  )
  got = score(config, tmp_path / "run")
  assert got["metrics"] == want["metrics"]
  assert got["step"] == 0
  assert "re-ordered" in capsys.readouterr().err
  # In the data set's order the same rows stand for other labels.
  config = small.config(
    "baseline", data_dir, **options, init_label_order="dataset"
  )
  other = score(config, tmp_path / "other")
  assert other["metrics"]["test"]["all_map"] != pytest.approx(
    want["metrics"]["test"]["all_map"]
  )
  with pytest.raises(UserError, match="holds checkpoints already"):
    run.run(config, str(tmp_path / "run"), "import")


def test_a_run_is_taken_over(baseline_run, data_dir, tmp_path):
  want = json.loads((baseline_run / "report" / "report.json").read_text())
  config = small.config(
    "baseline", data_dir, **small.SHORT, init_from=str(baseline_run)
  )
  assert score(config, tmp_path)["metrics"] == want["metrics"]


@pytest.mark.slow
def test_labels_of_a_method_with_inputs_of_each_example_are_reordered(
  data_dir, tmp_path, labels
):
  first, other = tmp_path / "first", tmp_path / "other"
  options = small.SHORT | {"train.epochs": 0.25}
  run.run(small.config("c_tran", data_dir, **options), str(first), "train")
  options |= {"init_from": str(first), "init_label_order": "alphabetical"}
  run.run(small.config("c_tran", data_dir, **options), str(other), "import")

  def rows(folder, field):
    checkpoints = Checkpoints(folder / "checkpoints")
    found = checkpoints.read(checkpoints.best_step, [field])[field]
    return found["head"]["label_embedding"]

  order = [sorted(labels).index(label) for label in labels]
  np.testing.assert_array_equal(
    rows(other, "params"), rows(first, "ema_params")[order]
  )


@pytest.mark.slow
def test_only_the_backbone_of_a_run_or_a_file(
  baseline_run, labels, data_dir, tmp_path
):
  arrays = exported(baseline_run, labels)
  arrays["module.fc.weight"] = np.zeros((1000, 7), np.float32)
  arrays["module.fc.bias"] = np.zeros(1000, np.float32)
  file = tmp_path / "weights.safetensors"
  safetensors.numpy.save_file(arrays, file)

  def backbone_of(name, **options):
    config = small.config("q2l", data_dir, **small.SHORT, **options)
    run.run(config, str(tmp_path / name), "import")
    checkpoints = Checkpoints(tmp_path / name / "checkpoints")
    return convert.by_path(
      checkpoints.read(0, ["params"])["params"]["backbone"]
    )

  from_file = backbone_of("file", init_from=str(file))
  from_run = backbone_of(
    "run",
    init_from=str(baseline_run),
    init_allow_missing=("params/head/.*",),
    init_allow_unused=("params/head/.*",),
  )
  random = backbone_of("random", init_from=str(file), init_allow_unused=("x",))
  assert from_file.keys() == from_run.keys() == random.keys()
  for path, value in from_file.items():
    np.testing.assert_array_equal(value, from_run[path], err_msg=path)


def test_what_does_not_fit_is_listed(baseline_run, labels, data_dir, tmp_path):
  arrays = exported(baseline_run, labels)
  arrays["module.extra.weight"] = arrays.pop("module.bn1.weight")
  file = tmp_path / "weights.safetensors"
  safetensors.numpy.save_file(arrays, file)
  options = small.SHORT | {"init_from": str(file)}
  config = small.config("baseline", data_dir, **options)
  with pytest.raises(UserError, match="init_label_order=dataset"):
    run.run(config, str(tmp_path / "run"), "train")
  options["init_label_order"] = "dataset"
  config = small.config("baseline", data_dir, **options)
  with pytest.raises(UserError, match=r"(?s)bn1/scale.*extra\.weight") as error:
    run.run(config, str(tmp_path / "run"), "train")
  assert "unused" in str(error.value)
  assert not (tmp_path / "run" / "checkpoints").exists()
  config = small.config(
    "baseline",
    data_dir,
    **options,
    init_allow_missing=("params/bn1/scale",),
    init_allow_unused=(r"extra\..*",),
  )
  run.run(config, str(tmp_path / "allowed"), "import")


def test_other_labels_are_refused(baseline_run, data_dir, tmp_path):
  other = tmp_path / "other"
  (other / "checkpoints").parent.mkdir()
  (other / "checkpoints").symlink_to(baseline_run / "checkpoints")
  known = json.loads((baseline_run / "data.json").read_text())
  known["labels"][0] = "unicorn"
  (other / "data.json").write_text(json.dumps(known))
  config = small.config(
    "baseline", data_dir, **small.SHORT, init_from=str(other)
  )
  with pytest.raises(UserError, match="unicorn"):
    run.run(config, str(tmp_path / "run"), "import")


@pytest.mark.parametrize(
  ("options", "words"),
  [
    ({"init_from": "nowhere.pth"}, "nowhere.pth"),
    ({"init_from": "."}, "has no checkpoints"),
    ({"init_label_order": "random"}, "alphabetical"),
    ({}, "--config.init_from=FILE"),
  ],
)
def test_mistakes(options, words, data_dir, tmp_path):
  config = small.config("baseline", data_dir, **options)
  with pytest.raises(UserError, match=words):
    run.run(config, str(tmp_path / "run"), "import")
  assert not (tmp_path / "run").exists()


def test_who_decides_the_variant(data_dir, tmp_path):
  def variant_of(saved="nothing", **options):
    config = small.config("ssgrl", data_dir, **options)
    return init_from.with_variant(config, tmp_path / saved).method.variant

  assert variant_of() == "corrected"
  assert variant_of(**{"method.variant": "published"}) == "published"
  # A run keeps its own, and gives it on.
  run_dir = tmp_path / "run"
  (run_dir / "checkpoints" / "3").mkdir(parents=True)
  saved = {"method": {"name": "ssgrl", "variant": "published"}}
  (run_dir / "config.json").write_text(json.dumps(saved))
  assert variant_of("run/config.json") == "published"
  assert variant_of(init_from=str(run_dir)) == "published"
  # A published checkpoint of the method, not one of a backbone alone.
  with np.load(GOLDEN / "ssgrl_full.npz") as file:
    state = {
      key.removeprefix("state/"): file[key]
      for key in file.files
      if key.startswith("state/")
    }
  backbone = {k: v for k, v in state.items() if k.startswith("resnet_101.")}
  for name, arrays in (("method", state), ("backbone", backbone)):
    safetensors.numpy.save_file(arrays, tmp_path / f"{name}.safetensors")
  assert variant_of(init_from=str(tmp_path / "method.safetensors")) == (
    "published"
  )
  assert variant_of(init_from=str(tmp_path / "backbone.safetensors")) == (
    "corrected"
  )
