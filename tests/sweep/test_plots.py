import numpy as np
import pytest
from PIL import Image
from scipy import stats

from causal_mlr_jax.sweep import plots, results
from tests.sweep.prepared import plan, runs_of, scored

ROWS = {
  "clusters": ("K=1", "K=20", "K=500"),
  "modules": ("baseline", "decouple", "decouple_causal"),
}
HALF = stats.t.ppf(0.975, 1) * stats.sem([19.0, 21.0])
# How ml_collections 1.1 loads a configuration file.
pytestmark = pytest.mark.filterwarnings(
  "ignore:the load_module:DeprecationWarning"
)


def table(name, folder):
  """A row of two seeds, a row of one that the paper has, and a row of none."""
  made = plan(name, folder, ROWS[name], (0, 1))
  first, second, _ = runs_of(made).values()
  for run, value in ((first[0], 19.0), (first[1], 21.0), (second[0], 25.0)):
    scored(run, value, "test", "other")
  paper = {"context_emoji": {ROWS[name][1]: (26.0, 26.0, 26.0)}}
  return results.read(made._replace(table=made.table._replace(paper=paper)))


def drawn(ax):
  """Points of ours, their intervals, points of the paper."""
  (ours,) = ax.containers
  line, _, (bars,) = ours.lines
  paper = ax.lines[-1]
  return line.get_xydata(), bars.get_segments(), paper.get_xydata()


def expected(i):
  """The means of two rows and the paper's numbers in the i-th panel."""
  means = ([20, 25], [], [50, 55])[i % 3]  # co-occur is not known
  return means, [26] if i < 3 else []


def test_numbers_stand_on_a_logarithmic_axis(tmp_path):
  figure = plots.draw(table("clusters", tmp_path))
  assert len(figure.axes) == 6
  for i, ax in enumerate(figure.axes):
    assert ax.get_title() == (
      f"{('test', 'other')[i // 3]}: {('Exclusive', 'Co-occur', 'All')[i % 3]}"
    )
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == "K"
    assert [t.get_text() for t in ax.get_xticklabels()] == ["1", "20", "500"]
    ours, bars, paper = drawn(ax)
    means, of_paper = expected(i)
    points = np.reshape(list(zip([1, 20], means, strict=False)), (-1, 2))
    np.testing.assert_allclose(ours, points)
    if means:
      ends = [[1, means[0] - HALF], [1, means[0] + HALF]]
      np.testing.assert_allclose(bars[0], ends)
    np.testing.assert_allclose(
      paper, np.reshape([[20, v] for v in of_paper], (-1, 2))
    )


def test_names_stand_below_each_other(tmp_path):
  figure = plots.draw(table("modules", tmp_path))
  for i, ax in enumerate(figure.axes):
    labels = [t.get_text() for t in ax.get_yticklabels()]
    assert labels == [*ROWS["modules"]]
    low, high = ax.get_ylim()
    assert low > high
    ours, bars, paper = drawn(ax)
    means, of_paper = expected(i)
    points = np.reshape(list(zip(means, [0, 1], strict=False)), (-1, 2))
    np.testing.assert_allclose(ours, points)
    if means:
      ends = [[means[0] - HALF, 0], [means[0] + HALF, 0]]
      np.testing.assert_allclose(bars[0], ends)
    np.testing.assert_allclose(
      paper, np.reshape([[v, 1] for v in of_paper], (-1, 2))
    )


@pytest.mark.parametrize("name", ROWS)
def test_the_file_is_a_picture(name, tmp_path):
  path = tmp_path / "table.png"
  plots.write(table(name, tmp_path), path)
  with Image.open(path) as image:
    pixels = np.asarray(image.convert("RGB"))
  assert pixels.shape[0] > 300
  assert pixels.shape[1] > 900
  assert pixels.min() < 50 < 200 < pixels.max()


def test_nothing_is_written_without_a_number(tmp_path):
  found = results.read(plan("modules", tmp_path / "sweep", ["baseline"]))
  plots.write(found, tmp_path / "table.png")
  assert list(tmp_path.iterdir()) == []
