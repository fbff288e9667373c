"""The mode `explain`: where a model saw each label, as pictures and JSON."""

import io
import json
import pathlib

import numpy as np
import pytest
from PIL import Image

import causal_mlr_jax
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import ACTIVATION, ATTENTION, Maps
from causal_mlr_jax.inference import explanation, explanation_picture
from causal_mlr_jax.inference.explanation_files import file_stems
from causal_mlr_jax.inference.request import Request
from causal_mlr_jax.methods import causal
from causal_mlr_jax.uses import use

NAMES = ("a.png", "<script>é猫😀.png", '$x^2$, "q".png', "new\nline.png")

# Labels that a picture must show as text.
STRANGE = (
  "<script>",
  "$\\frac{1}{2}$",
  "猫 मानक 😀",
  "a\nb\x00\u202e",
  "",
  "x" * 300,
)


@pytest.fixture(scope="module")
def model(causal_run):
  return causal_mlr_jax.load(causal_run)


@pytest.fixture(scope="module")
def photos(dataset, tmp_path_factory):
  folder = tmp_path_factory.mktemp("photos")
  records = list(zip(NAMES, dataset.source("test"), strict=False))
  for name, record in records:
    (folder / name).write_bytes(record["image"])
  (folder / "sub").mkdir()
  (folder / "sub" / "A.png").write_bytes(records[1][1]["image"])
  (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no image")
  return folder


def explain(workdir, images, output, **more):
  use.use(str(workdir), "explain", Request(str(images), str(output), **more))


def test_an_explanation_says_what_the_prediction_says(model, photos):
  found, want = (f(photos / "a.png") for f in (model.explain, model.predict))
  assert found.labels == model.labels
  np.testing.assert_allclose(
    found.probabilities, want.probabilities[0], atol=1e-6
  )
  np.testing.assert_array_equal(
    found.decisions, found.probabilities >= model.thresholds
  )
  assert list(found.parts) == ["decoupled", "causal"]
  assert set(want.parts) == {"decoupled", "causal"}
  for name, part in found.parts.items():
    np.testing.assert_allclose(part, want.parts[name][0], atol=1e-6)
    # The mean of both heads: each gives half of its own probability.
    given = found.shares[name] * found.probabilities
    np.testing.assert_allclose(given, part / 2, atol=1e-6)


def test_maps_are_attention_over_the_final_map(model, photos):
  found = model.explain(photos / "a.png")
  assert found.maps.shape == (32, 8, 8)
  assert found.about.kind == ATTENTION
  np.testing.assert_allclose(found.maps.sum((1, 2)), 1, atol=1e-4)
  pixels = np.asarray(Image.open(photos / "a.png").convert("RGB"))
  np.testing.assert_array_equal(found.pixels, pixels)


def test_the_grid_of_images_that_are_not_square(model):
  wide = model.bundle._replace(image_shape=(40, 96, 3))
  assert explanation.map_grid(wide) == (5, 12)
  assert explanation.map_grid(model.bundle) == (8, 8)


def test_a_method_of_one_part_has_class_activation_maps(baseline_run, photos):
  model = causal_mlr_jax.load(baseline_run)
  found = model.explain(photos / "a.png")
  assert found.about.kind == ACTIVATION
  assert (found.parts, found.shares) == ({}, {})
  # The mean of a map is the logit without its bias.
  bias = model.bundle.variables["params"]["head"]["classifier"]["bias"]
  logits = found.maps.mean((1, 2)) + np.asarray(bias)
  want = 1 / (1 + np.exp(-logits.astype(float)))
  np.testing.assert_allclose(found.probabilities, want, atol=1e-5)
  drawn = explanation_picture.draw(found, [0, 1], "a.png")
  assert drawn.width > drawn.height


def test_a_folder_of_images(causal_run, model, photos, tmp_path, capsys):
  output = tmp_path / "out"
  explain(causal_run, photos, output)
  said = capsys.readouterr().err
  assert "1 of 6 image(s) cannot be read" in said
  assert "broken.jpg" in said
  # `A` would be `a` on some disks.
  stems = {pathlib.Path(name).stem for name in NAMES} | {"A-2"}
  assert {path.stem for path in output.iterdir()} == stems
  written = [json.loads(p.read_text()) for p in output.glob("*.json")]
  paths = {str(photos / name) for name in (*NAMES, "sub/A.png")}
  assert {found["image"] for found in written} == paths
  for found in written:
    assert found["grid"] == [8, 8]
    assert found["maps"]["kind"] == ATTENTION
    rows = found["labels"]
    assert sorted(row["label"] for row in rows) == sorted(model.labels)
    scores = [row["probability"] for row in rows]
    assert scores == sorted(scores, reverse=True)
    for row in rows:
      assert ("map" in row) == row["decision"]
      assert row["decision"] == (row["probability"] >= row["threshold"])
      assert sum(row["shares"].values()) == pytest.approx(1, abs=1e-6)
  for path in output.glob("*.png"):
    assert path.with_suffix(".json").exists()
    with Image.open(path) as image:
      assert image.width > 300


def test_nothing_compiles_twice(model, photos):
  path = photos / "a.png"
  list(model.explain_images(model.reader(), [path] * 7, batch_size=4))
  before = model._apply_with_maps._cache_size()
  list(model.explain_images(model.reader(), [path] * 9, batch_size=4))
  assert model._apply_with_maps._cache_size() == before


def test_the_likeliest_labels(causal_run, photos, tmp_path):
  explain(causal_run, photos / "a.png", tmp_path / "out", top_k=2)
  found = json.loads((tmp_path / "out" / "a.json").read_text())
  assert ["map" in row for row in found["labels"]] == [True] * 2 + [False] * 30
  assert np.shape(found["labels"][0]["map"]) == (8, 8)


@pytest.mark.parametrize(
  ("images", "output", "more", "words"),
  [
    ("", "x", {}, "--mode=explain needs images"),
    ("a.png", "x", {"top_k": -1}, "--top_k=-1"),
    ("a.png", "x", {"calibrated": True}, "--calibrated is for --mode=predict"),
    ("broken.jpg", "x", {}, "1 of 1 image"),
    ("a.png", "file", {}, "is a file: expected a folder"),
    ("a.png", "file/x", {}, "cannot be written"),
  ],
)
def test_a_request_that_cannot_be_met_writes_nothing(
  causal_run, photos, tmp_path, images, output, more, words
):
  (tmp_path / "file").write_text("no folder")
  given = photos / images if images else ""
  with pytest.raises(UserError, match=words):
    explain(causal_run, given, tmp_path / output, **more)
  assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_no_two_images_share_a_name():
  images = ["x/a.png", "y/a.jpg", "a-2.png", "A.png", "é" * 200 + ".png"]
  found = file_stems([pathlib.Path(image) for image in images])
  assert found[:4] == ["a", "a-3", "a-2", "A-4"]
  assert found[4] == "é" * 60
  folded = {stem.casefold() for stem in found}
  assert len(folded) == len(images)


def make(pixels, maps, kind, labels, **more):
  """An explanation of an image, without a model."""
  count = len(labels)
  values = {
    "labels": labels,
    "probabilities": np.full(count, 0.5, np.float32),
    "thresholds": np.full(count, 0.5, np.float32),
    "decisions": np.ones(count, bool),
    "parts": {},
    "shares": {},
    "maps": maps,
    "about": Maps(kind, ""),
    "pixels": pixels,
  }
  return explanation.Explanation(**(values | more))


@pytest.mark.parametrize("kind", [ATTENTION, ACTIVATION])
def test_colours_are_where_the_map_is_high(kind):
  """On a grid of 2 x 3 over a grey image of 40 x 60."""
  maps = np.zeros((1, 2, 3), np.float32)
  maps[0, 1, 2] = 4
  pixels = np.full((40, 60, 3), 128, np.uint8)
  found = make(pixels, maps, kind, ("x",))
  size = explanation_picture.LONGER_SIDE
  drawn = explanation_picture._overlay(found, 0, (size, size * 2 // 3))
  colour = np.ptp(np.asarray(drawn, int), axis=-1)
  assert colour[150, 250] > 50  # the middle of the cell
  assert colour[:95, :195].max() < 25


@pytest.mark.parametrize("shape", [(30, 30, 3), (8, 200, 3), (200, 8, 3)])
@pytest.mark.parametrize("count", [0, 1, 40])
def test_any_label_is_text_in_a_picture(shape, count):
  """Warnings, such as those of glyphs that are missing, are errors here."""
  strange = (
    "<script>",
    "$\\frac{1}{2}$",
    "猫 मानक 😀",
    "a\nb\x00\u202e",
    "",
    "x" * 300,
  )
  labels = (strange * 7)[:count]
  maps = np.random.default_rng(0).normal(size=(count, 2, 3)).astype(np.float32)
  share = {"one": np.full(count, 0.3), "two": np.full(count, 0.7)}
  black = np.zeros(shape, np.uint8)
  found = make(black, maps, ACTIVATION, labels, parts=share, shares=share)
  title, note = "$a_1$\n猫", "note " * 40
  drawn = explanation_picture.draw(found, range(count), title, note)
  encoded = io.BytesIO()
  drawn.save(encoded, "png")
  assert drawn.width >= explanation_picture.WIDEST_TEXT


def test_a_constant_map_shows_nothing():
  for value in (0.0, 0.25, -3.0, np.nan):
    flat = np.full((2, 2), value, np.float32)
    for kind in (ATTENTION, ACTIVATION):
      scaled = explanation.between_0_and_1(flat, Maps(kind, ""))
      assert not scaled.any()


@pytest.mark.parametrize("fusion", causal.FUSIONS)
def test_shares_are_of_the_fused_probability(fusion):
  rng = np.random.default_rng(0)
  parts = {name: rng.random((4, 5)).astype(np.float32) for name in causal.PARTS}
  parts["decoupled"][0, 0] = parts["causal"][0, 0] = 0
  found = causal.shares(parts, {"fusion": fusion})
  if fusion == "mean_logit":
    assert found == {}
    return
  np.testing.assert_allclose(sum(found.values()), 1, atol=1e-6)
  assert all((share >= 0).all() for share in found.values())
  if fusion in causal.PARTS:
    assert (found[fusion] == 1).all()
  if fusion == "max":
    larger = np.where(found["causal"] == 1, parts["causal"], parts["decoupled"])
    np.testing.assert_array_equal(larger, np.maximum(*parts.values()))


def test_the_program_explains_without_a_configuration(
  program, causal_run, photos, tmp_path
):
  code, _, err = program(
    "--mode=explain",
    f"--workdir={causal_run}",
    f"--images={photos / 'a.png'}",
    f"--output={tmp_path}",
  )
  assert code == 0, err
  assert {p.name for p in tmp_path.iterdir()} == {"a.png", "a.json"}
