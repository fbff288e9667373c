import io

import numpy as np
import pytest
from PIL import Image

from causal_mlr_jax.studies.effects import report

NAMES = ("car", "dog", "grass")
MATRIX = np.array([[9, 0.5, 0.1], [-0.2, 9, 0.0], [np.nan] * 3])


def test_causes_stand_down_and_effects_across():
  figure = report.draw(
    {"training_labels": MATRIX, "scores": 2 * MATRIX}, NAMES, [(0, 1)]
  )
  first, second, bar = figure.axes
  for ax, factor in ((first, 1), (second, 2)):
    (image,) = ax.images
    shown = np.ma.filled(image.get_array(), np.nan)
    want = factor * MATRIX
    np.fill_diagonal(want, np.nan)
    np.testing.assert_array_equal(shown, want)
    low, high = image.get_clim()
    assert low == -high
    (circles,) = ax.collections
    np.testing.assert_array_equal(circles.get_offsets(), [[1, 0]])
    for axis in (ax.get_xticklabels(), ax.get_yticklabels()):
      assert [t.get_text() for t in axis] == list(NAMES)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("effect", "cause")
  assert bar.get_ylim() == (-high, high)


@pytest.mark.parametrize("count", [2, 150])
def test_the_file_is_a_picture_even_of_nothing_or_of_many(count, tmp_path):
  path = tmp_path / "effects.png"
  matrix = np.full((count, count), np.nan)
  names = [f"label {i}" for i in range(count)]
  report.write({"scores": matrix}, names, [], path)
  with Image.open(io.BytesIO(path.read_bytes())) as image:
    assert min(image.size) > 150
    assert max(image.size) < 2500


def result(recovery, reliance):
  pairs = [{"cause": "car", "effect": "dog", "by": 0.51}]
  source = {"strongest": pairs} | ({"recovery": recovery} if recovery else {})
  return {"sources": {"training_labels": source}, "reliance": reliance}


def test_the_tables_fit_into_eighty_columns(capsys):
  recovery = dict.fromkeys(report.COLUMNS.values(), 0.1234)
  recovery["spearman"] = None
  each = {
    "cake": {"value": 0.25, "images": 3},
    "ufo": {"value": None, "images": 0},
  }
  measures = {key: {"mean": 0.25, "each": each} for key in report.MEASURES}
  measures["scene_drop"] = {"mean": None, "each": {}}
  report.show(result(recovery, {"images": 1000} | measures))
  shown = capsys.readouterr().out
  for words in ("0.123", "AUROC*", "car -> dog +0.51", "cake 0.250", "1,000"):
    assert words in shown
  for title in report.MEASURES.values():
    assert title in shown
  assert max(map(len, shown.splitlines())) <= 80


def test_without_truth_and_without_images_to_draw(capsys):
  report.show(result(None, None))
  shown = capsys.readouterr().out
  assert "not known" in shown
  assert "car -> dog" in shown
  assert "lean on context" not in shown
