import io

import numpy as np
import pytest
from PIL import Image

from causal_mlr_jax.sweep import plots

KEYS = ("exclusive", "cooccur", "all")


def table(xs):
  """A table with a missing row, a row of one seed and one of the paper's."""
  cells = [
    {"mean": 20.0, "half_width": 2.0},
    {"mean": 25.0, "half_width": None},
    {"mean": None, "half_width": None},
  ]
  return {
    "title": "Confounders",
    "metric": "map",
    "splits": ["test", "other"],
    "paper_split": "test",
    "x_label": "K",
    "rows": [
      {
        "name": f"row {i}",
        "x": x,
        "paper": dict.fromkeys(KEYS, 26.0 if i == 1 else None),
        "splits": {
          split: dict.fromkeys(KEYS, cell) for split in ("test", "other")
        },
      }
      for i, (x, cell) in enumerate(zip(xs, cells, strict=True))
    ],
  }


def drawn(ax):
  """Points of ours, their intervals, points of the paper."""
  (ours,) = ax.containers
  line, _, (bars,) = ours.lines
  paper = ax.lines[-1]
  return line.get_xydata(), bars.get_segments(), paper.get_xydata()


def test_numbers_stand_on_a_logarithmic_axis():
  figure = plots.draw(table([1, 20, 500]))
  assert len(figure.axes) == 6
  for i, ax in enumerate(figure.axes):
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == "K"
    assert [t.get_text() for t in ax.get_xticklabels()] == ["1", "20", "500"]
    ours, bars, paper = drawn(ax)
    np.testing.assert_allclose(ours, [[1, 20], [20, 25]])
    np.testing.assert_allclose(bars[0], [[1, 18], [1, 22]])
    expected = [[20, 26]] if i < 3 else np.zeros((0, 2))
    np.testing.assert_allclose(paper, expected)


def test_names_stand_below_each_other():
  figure = plots.draw(table([None, None, None]))
  for ax in figure.axes:
    labels = [t.get_text() for t in ax.get_yticklabels()]
    assert labels == ["row 0", "row 1", "row 2"]
    low, high = ax.get_ylim()
    assert low > high
    ours, bars, _ = drawn(ax)
    np.testing.assert_allclose(ours, [[20, 0], [25, 1]])
    np.testing.assert_allclose(bars[0], [[18, 0], [22, 0]])


@pytest.mark.parametrize("xs", [[1, 20, 500], [None, None, None]])
def test_the_file_is_a_picture(xs, tmp_path):
  path = tmp_path / "table.png"
  plots.write(table(xs), path)
  pixels = np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB"))
  assert pixels.shape[0] > 300
  assert pixels.shape[1] > 900
  assert pixels.min() < 50 < 200 < pixels.max()


def test_nothing_is_written_without_a_number(tmp_path):
  plots.write({"splits": []}, tmp_path / "table.png")
  assert list(tmp_path.iterdir()) == []
