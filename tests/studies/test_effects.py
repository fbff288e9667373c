"""Effects and reliance on context, on trained runs of the small variant."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from causal_mlr_jax import run, workdir
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.builders import context_emoji
from causal_mlr_jax.data.preprocess import op_string
from causal_mlr_jax.studies.effects import matrices as matrices_lib
from causal_mlr_jax.studies.effects import measure as effects
from causal_mlr_jax.studies.effects import reliance
from tests import small

SOURCES = {
  "causal": {"training_labels", "scores", "causal_head"},
  "baseline": {"training_labels", "scores"},
  "c_tran": {"training_labels", "scores", "known_labels"},
}
# Of the two that are trained here.
FLAGS = {
  "train.epochs": 0.5,
  "data.test_splits": ("test",),
  "evaluate.page": True,
}


@pytest.fixture(scope="module", params=small.few(SOURCES, ("causal",)))
def measured(request, causal_run, data_dir, tmp_path_factory):
  path = tmp_path_factory.mktemp(request.param) / "run"
  flags = {} if request.param == "causal" else FLAGS
  if request.param == "causal":
    shutil.copytree(causal_run, path)
  else:
    config = small.config(request.param, data_dir, **flags)
    run.run(config, str(path), "train")
  # The section may be another one than in training.
  config = small.config(
    request.param, data_dir, **flags, **{"effects.max_images": 50}
  )
  run.run(config, str(path), "effects")
  return request.param, path / "effects"


def test_what_is_written(measured, data_dir):
  method, folder = measured
  result = json.loads((folder / "effects.json").read_text())
  assert (result["method"], result["split"]) == (method, "test")
  assert set(result["sources"]) == SOURCES[method]
  for source in result["sources"].values():
    recovery = source["recovery"]
    assert 0 <= recovery["auroc"] <= 1
    assert isinstance(recovery["edges"], int)
    assert 0 < recovery["edges"] <= 8
    assert len(source["strongest"]) == 20
  with np.load(folder / "effects.npz") as file:
    arrays = dict(file)
  assert set(arrays) == SOURCES[method] | {"labels", "truth"}
  dataset = small.dataset(data_dir)
  assert arrays["labels"].tolist() == list(dataset.labels)
  np.testing.assert_array_equal(
    arrays["training_labels"],
    matrices_lib.conditional_frequencies(dataset.label_matrix("train")),
  )
  facts = dataset.metadata["worlds"]["train"]
  np.testing.assert_allclose(
    arrays["truth"] + np.array(facts["probability"])[None],
    facts["probability_do"],
  )
  for name in SOURCES[method]:
    matrix = arrays[name]
    assert matrix.shape == (32, 32)
    assert np.nanmax(np.abs(matrix)) <= 1
    # NaN stands for labels without an image alone.
    assert np.isnan(matrix).all(1).sum() == np.isnan(matrix).any(1).sum() <= 2
  with Image.open(folder / "effects.png") as image:
    assert min(image.size) > 300
  page = (folder.parent / "report" / "index.html").read_text()
  assert "were not measured" not in page
  assert f"{result['reliance']['images']:,} images" in page


def test_reliance_is_over_the_right_images(measured, data_dir):
  _, folder = measured
  found = json.loads((folder / "effects.json").read_text())["reliance"]
  assert found["images"] == 50
  dataset = small.dataset(data_dir)
  labels = dataset.label_matrix("test").astype(bool)
  homes = {
    name: [dataset.labels.index(home) for home in row]
    for name, row in context_emoji.homes().items()
    if row
  }
  assert set(found["scene_drop"]["each"]) == set(homes)
  for name, scenes in homes.items():
    has, home = labels[:, dataset.labels.index(name)], labels[:, scenes].any(1)
    drop = found["scene_drop"]["each"][name]
    assert drop["images"] == (has & home)[:50].sum()
    for where, images in (("home", home), ("elsewhere", ~home)):
      row = found[f"{where}_false_positive_rate"]["each"][name]
      assert row["images"] == (images & ~has).sum()
      assert row["value"] is None or 0 <= row["value"] <= 1
  pairs = [row[:2] for row in context_emoji.PAIRS]
  each = found["companion_drop"]["each"]
  assert list(each) == [f"{b} <- {c}" for b, c in pairs]
  for (b, c), row in zip(pairs, each.values(), strict=True):
    both = labels[:, [dataset.labels.index(x) for x in (b, c)]].all(1)
    assert row["images"] == both[:50].sum()
    assert (row["value"] is None) == (row["images"] == 0)
  for measure in list(found)[1:]:
    values = [row["value"] for row in found[measure]["each"].values()]
    mean = np.mean([v for v in values if v is not None])
    assert found[measure]["mean"] == pytest.approx(mean)


def test_a_recogniser_of_pixels_is_asked_about_changed_pixels(data_dir):
  """A model that sees all, one that reads scenes, one that reads companions."""
  dataset = small.dataset(data_dir)
  labels = dataset.label_matrix("test").astype(np.float64)
  names = dataset.labels
  stuff = [names.index(name) for name in dataset.metadata["stuff"]]
  home = np.zeros((len(names), len(names)))  # of a label (column), by scene
  for name, scenes in context_emoji.homes().items():
    home[[names.index(s) for s in scenes], names.index(name)] = 1
  companion = np.zeros_like(home)
  for b, c in dataset.biased_pairs:
    companion[c, b] = 1
  models = {
    "objects": lambda x: x,
    "scenes": lambda x: x[:, stuff] @ home[stuff],
    "companions": lambda x: (x @ companion).clip(0, 1),
  }
  want = {
    "objects": (0, 0, 0, 0),
    "scenes": (1, 0, 1, 0),
    "companions": (0, 1, None, None),
  }
  for key, model in models.items():
    seen = []

    def predict(changed, split, model=model, seen=seen):
      records = changed.source(split)
      seen.extend(records)
      return model(np.stack([row["labels"] for row in records]).astype(float))

    found = reliance.measure(
      context_emoji, dataset, "test", model(labels), labels, 60, predict
    )
    means = [found[name]["mean"] for name in list(found)[1:]]
    for got, expected in zip(means, want[key], strict=True):
      assert expected is None or got == pytest.approx(expected)
    # Each changed record is the image of its labels, and another one.
    decode = op_string.parse("decode")
    for row in seen[:: max(len(seen) // 5, 1)]:
      here, old = labels[row["image_id"]], row["labels"]
      assert (here != old).any()
      pixels = decode(row["image"], None)
      original = decode(dataset.source("test")[row["image_id"]]["image"], None)
      assert (pixels != original).any()


def test_the_scene_is_drawn_with_the_same_objects_and_the_same_crop():
  drawn = context_emoji.WORLDS.sample("test")
  k = int(np.flatnonzero(drawn.objects.sum(1) >= 2)[0])
  there = int(np.flatnonzero(drawn.objects[k])[0])
  name = list(context_emoji.OBJECTS)[there]
  same = context_emoji.redrawn("test", k)
  np.testing.assert_array_equal(same["labels"], drawn.labels[k])
  decode = op_string.parse("decode")
  original = context_emoji.PAINTER.render(*drawn.image(k))
  np.testing.assert_array_equal(decode(same["image"], None), original)
  for scene in range(8):
    moved = context_emoji.redrawn(
      "test", k, scene=list(context_emoji.SCENES)[scene]
    )
    arguments = list(drawn.image(k))
    arguments[2] = scene
    np.testing.assert_array_equal(
      decode(moved["image"], None), context_emoji.PAINTER.render(*arguments)
    )
    assert moved["labels"][24:].argmax() == scene
  less = context_emoji.redrawn("test", k, without=(name,))
  changed = (decode(less["image"], None) != original).any(-1)
  largest = context_emoji.DIFFICULTY.sizes[1] + 4
  assert 0 < np.ptp(np.nonzero(changed), 1).max() <= largest
  assert less["labels"].sum() == drawn.labels[k].sum() - 1
  np.testing.assert_array_equal(drawn.labels[k], same["labels"])  # not changed
  with pytest.raises(UserError, match="Unknown scene"):
    context_emoji.redrawn("test", k, scene="moon")
  with pytest.raises(UserError, match="Unknown object"):
    context_emoji.redrawn("test", k, without=("grass",))


def test_other_data_sets_cannot_be_drawn_anew():
  assert reliance.builder_of("context_emoji") is context_emoji
  assert reliance.builder_of("folder") is None


def test_a_run_is_needed(data_dir, tmp_path):
  config = small.config("q2l", data_dir)
  with pytest.raises(UserError, match="train first"):
    run.run(config, str(tmp_path / "run"), "effects")


@pytest.mark.parametrize(
  ("flags", "words"),
  [
    ({"effects.max_images": 0}, "effects.max_images = 0"),
    ({"effects.split": "test[1:2:3]"}, "Split 'test"),
  ],
)
def test_values_that_cannot_be(flags, words, data_dir, tmp_path):
  config = small.config("q2l", data_dir, **flags)
  with pytest.raises(UserError, match=words):
    run.run(config, str(tmp_path / "run"), "train")
  assert not (tmp_path / "run").exists()


def test_the_section_may_differ_from_that_of_the_training(data_dir):
  config = workdir.as_json(small.config("q2l", data_dir))
  other = json.loads(json.dumps(config))
  other["effects"]["split"] = "validation"
  assert workdir.differences(config, other) == []
  del other["effects"]  # a run that is older than the section
  assert workdir.differences(other, config) == []
  other["seed"] = 1
  assert len(workdir.differences(other, config)) == 1


def test_no_split_is_an_error(data_dir):
  config = small.config("q2l", data_dir, **{"data.test_splits": ()})
  with pytest.raises(UserError, match=r"effects\.split is empty"):
    effects.split_of(config)
  assert effects.split_of(small.config("q2l", data_dir)) == "test"
