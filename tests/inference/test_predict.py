"""The mode `predict`: from a folder of images to a file of predictions."""

import csv
import json
import shutil

import numpy as np
import pytest

import causal_mlr_jax
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.inference.find_images import find_images
from causal_mlr_jax.inference.request import Request
from causal_mlr_jax.uses import use

# File names that must come out as they went in.
NAMES = ("a.png", 'b, "c".png', "<script>é😀.png", "new\nline.png", "=1.png")


@pytest.fixture(scope="module")
def photos(dataset, tmp_path_factory):
  folder = tmp_path_factory.mktemp("photos")
  for name, record in zip(NAMES, dataset.source("test"), strict=False):
    (folder / name).write_bytes(record["image"])
  (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no image")
  (folder / "notes.md").write_text("no image")
  return folder


@pytest.fixture(scope="module")
def model(causal_run):
  return causal_mlr_jax.load(causal_run)


def predict(workdir, images, output, **more):
  request = Request(str(images), str(output), **more)
  use.use(str(workdir), "predict", request)


def test_a_folder_of_images_to_json_lines(
  causal_run, model, photos, tmp_path, capsys
):
  output = tmp_path / "out" / "found.jsonl"
  predict(causal_run, photos, output)
  said = capsys.readouterr().err
  assert "1 of 6 image(s) cannot be read" in said
  assert "broken.jpg" in said
  assert "predicting: 5/6" in said
  rows = [json.loads(line) for line in output.read_text().splitlines()]
  paths = sorted(str(photos / name) for name in NAMES)
  assert [row["image"] for row in rows] == paths
  want = model.predict(paths)
  for i, row in enumerate(rows):
    found = {entry["label"]: entry for entry in row["labels"]}
    assert list(found) != list(model.labels)  # the likeliest first
    scores = [entry["probability"] for entry in row["labels"]]
    assert scores == sorted(scores, reverse=True)
    for n, label in enumerate(model.labels):
      probability = want.probabilities[i, n]
      assert found[label]["probability"] == pytest.approx(probability, abs=1e-6)
      assert found[label]["decision"] == (probability >= model.thresholds[n])
      assert found[label]["causal"] == pytest.approx(
        want.parts["causal"][i, n], abs=1e-6
      )


def test_the_likeliest_labels_to_csv(causal_run, model, photos, tmp_path):
  output = tmp_path / "found.csv"
  predict(causal_run, photos, output, top_k=2)
  with output.open(newline="") as file:
    rows = list(csv.DictReader(file))
  assert len(rows) == 2 * len(NAMES)
  assert [row["image"] for row in rows[::2]] == sorted(
    str(photos / name) for name in NAMES
  )
  want = model.predict(sorted(photos / name for name in NAMES))
  for i, row in enumerate(rows[::2]):
    best = int(np.argmax(want.probabilities[i]))
    assert row["label"] == model.labels[best]
    assert row["decision"] == "1"


def test_images_by_pattern_list_and_name(photos, tmp_path, monkeypatch):
  everything = find_images(str(photos))
  assert len(everything) == len(NAMES) + 1
  assert find_images(f"{photos}/*.png") == [
    path for path in everything if path.suffix == ".png"
  ]
  assert find_images(str(photos / "a.png")) == [photos / "a.png"]
  # Seen from the current folder, or else from the list's.
  (photos / "list.txt").write_text("=1.png\n\na.png\n")
  assert find_images(str(photos / "list.txt")) == [
    photos / "=1.png",
    photos / "a.png",
  ]
  monkeypatch.chdir(photos)
  assert [str(path) for path in find_images("list.txt")] == ["=1.png", "a.png"]
  (tmp_path / "empty").mkdir()
  for text in (str(tmp_path / "empty"), str(tmp_path / "*.jpg"), "none.jpg"):
    with pytest.raises(UserError, match="names no image"):
      find_images(text)


@pytest.mark.parametrize(
  ("images", "output", "more", "words"),
  [
    ("", "x.csv", {}, "set --images"),
    ("a.png", "x.json", {}, r"\.jsonl or \.csv"),
    ("a.png", "x.csv", {"top_k": -1}, "--top_k=-1"),
    ("broken.jpg", "x.csv", {}, "1 of 1 image"),
  ],
)
def test_a_request_that_cannot_be_met_writes_nothing(
  causal_run, photos, tmp_path, images, output, more, words
):
  given = photos / images if images else ""
  with pytest.raises(UserError, match=words):
    predict(causal_run, given, tmp_path / output, **more)
  assert not list(tmp_path.iterdir())


def test_an_output_that_cannot_be_written(causal_run, photos, tmp_path):
  (tmp_path / "file").write_text("not a folder")
  with pytest.raises(UserError, match="cannot be written"):
    predict(causal_run, photos, tmp_path / "file" / "x.csv")


def test_the_program_predicts_without_a_configuration(
  program, causal_run, photos, tmp_path
):
  workdir = tmp_path / "run"
  shutil.copytree(causal_run, workdir)
  code, _, err = program(
    "--mode=predict", f"--workdir={workdir}", f"--images={photos}"
  )
  assert code == 0, err
  lines = (workdir / "predictions.jsonl").read_text().splitlines()
  assert len(lines) == len(NAMES)
  code, _, err = program("--mode=predict", f"--images={photos}")
  assert code == 2
  assert "--workdir" in err
