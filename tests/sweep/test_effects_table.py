"""Tables of effects: their numbers, and the files they are written to."""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from causal_mlr_jax.studies.effects.report import COLUMNS, MEASURES
from causal_mlr_jax.sweep import plots, results, write_table
from tests.sweep.prepared import (
  FAILURE,
  WEIGHTLESS,
  measured,
  plan,
  report,
  runs_of,
  write,
)

SEEDS = (0, 1, 2, 3)
HEAD = {0: 0.8, 1: 0.75, 2: 0.9, 3: 0.85}
SCORES = {0: 0.5, 1: 0.55, 2: 0.52, 3: 0.51}
OTHER = {0: 0.6, 1: 0.45, 2: 0.5, 3: 0.55}
COUNTS = 0.7
# How ml_collections 1.1 loads a configuration file.
pytestmark = pytest.mark.filterwarnings(
  "ignore:the load_module:DeprecationWarning"
)


def finished(folder, names=("causal", "q2l"), known=True):
  """A plan of rows of which causal and q2l are measured."""
  made = plan("effects", folder, names, SEEDS)
  runs, counts = runs_of(made), {"training_labels": COUNTS}
  for seed in SEEDS:
    own = counts | {"scores": SCORES[seed], "causal_head": HEAD[seed]}
    measured(runs["causal"][seed], own, 0.1 + 0.01 * seed, known)
    other = counts | {"scores": OTHER[seed]}
    measured(runs["q2l"][seed], other, 0.3 - 0.02 * seed, known)
  return made


def test_a_line_for_each_source_compared_with_the_first(tmp_path):
  found = results.read(finished(tmp_path)).document
  assert (found["seeds"], found["split"]) == ([*SEEDS], "test")
  names = [(line["row"], line["source"]) for line in found["recovery"]]
  assert names == [
    ("causal", "causal_head"),
    ("causal", "scores"),
    ("q2l", "scores"),
    ("training labels", "training_labels"),
  ]
  first, _, last, counted = (line["cells"] for line in found["recovery"])
  a, b = list(OTHER.values()), list(HEAD.values())
  for key in set(COLUMNS.values()) - {"direction"}:
    assert last[key]["values"] == {str(seed): v for seed, v in OTHER.items()}
    assert last[key]["mean"] == pytest.approx(np.mean(a))
    low, high = stats.t.interval(0.95, 3, np.mean(a), stats.sem(a))
    assert last[key]["half_width"] == pytest.approx((high - low) / 2)
    difference = np.mean(np.subtract(a, b))
    assert last[key]["difference"] == pytest.approx(difference)
    assert last[key]["p_value"] == pytest.approx(stats.ttest_rel(a, b).pvalue)
  assert first["auroc"]["mean"] == pytest.approx(np.mean(b))
  assert first["auroc"]["difference"] is first["auroc"]["p_value"] is None
  assert last["direction"]["values"] == {}
  assert last["direction"]["mean"] is last["direction"]["difference"] is None
  assert counted["ap"]["mean"] == pytest.approx(COUNTS)
  assert counted["ap"]["half_width"] is None
  expected = stats.ttest_1samp(b, COUNTS).pvalue
  assert counted["ap"]["p_value"] == pytest.approx(expected)


def test_reliance_is_by_row(tmp_path):
  causal, other = results.read(finished(tmp_path)).document["reliance"]
  assert (causal["row"], other["row"]) == ("causal", "q2l")
  for key in MEASURES:
    assert causal["cells"][key]["mean"] == pytest.approx(0.115)
    assert causal["cells"][key]["difference"] is None
    assert other["cells"][key]["mean"] == pytest.approx(0.27)
    assert other["cells"][key]["difference"] == pytest.approx(0.155)
    assert other["cells"][key]["p_value"] < 0.05


@pytest.fixture
def partial(tmp_path):
  """Failed in training, in measurement, not measured, and not allowed."""
  made = finished(tmp_path, ("causal", "q2l", "c_tran"))
  runs = runs_of(made)["c_tran"]
  write(runs[0].folder / "failed.json", FAILURE)
  for seed in (1, 2):
    report(runs[seed], {})
  write(runs[1].folder / "effects" / "failed.json", FAILURE)
  other = {"settings": runs[2].config["effects"] | {"max_images": 9}}
  write(runs[2].folder / "effects" / "effects.json", other)
  return made._replace(rows=(*made.rows, WEIGHTLESS))


def test_markdown_shows_numbers_and_why_there_are_none(partial):
  text = write_table.markdown(results.read(partial))
  lines = text.splitlines()
  assert lines[0] == "# Which effects are causal, and what scores lean on"
  assert "model-based\nintervention scores, not identified" in text
  a, b = list(OTHER.values()), list(HEAD.values())
  half = stats.t.ppf(0.975, 3) * stats.sem(b)
  number = f"{np.mean(b):.3f} ± {half:.3f}"
  assert (
    f"| causal: causal head | {number} | {number} | {number} | {number} | - "
    f"| {number} | 4 |" in lines
  )
  assert (
    "|  | AUROC | AP | AUROC\\* | AP\\* | direction | rank | seeds |" in lines
  )
  assert f"| training labels |{' 0.700 |' * 4} - | 0.700 | - |" in lines
  assert f"| c_tran |{' - |' * 6} 0 of 4, 2 failed |" in lines
  reason = "no weights: pretrained/beit3.pth"
  assert f"| beit3 |{' - |' * 4} {reason} |" in lines
  assert any(
    line.startswith("| difference to causal: causal head |") for line in lines
  )
  difference = f"{np.mean(a) - np.mean(b):+.3f}"
  p = stats.ttest_rel(a, b).pvalue
  assert f"| q2l: scores | {difference} (p = {p:.2g}) |" in text
  assert "| difference to causal | score lost over a foreign scene |" in text
  said = "exit code 3: the loss is not finite"
  assert f"- c_tran: seed 0 failed, training, {said}" in lines
  assert f"- c_tran: seed 1 failed, measurement, {said}" in lines
  assert "- c_tran: not run yet: seed 2, 3" in lines
  assert f"- beit3: {reason}" in lines


def test_all_files_hold_the_same(partial, tmp_path):
  write_table.write(partial)
  stem = tmp_path / "table_effects"
  found = results.read(partial)
  assert json.loads(stem.with_suffix(".json").read_text()) == found.document
  markdown = write_table.markdown(found)
  assert stem.with_suffix(".md").read_text() == markdown
  text = stem.with_suffix(".csv").read_text()
  lines = list(csv.DictReader(io.StringIO(text)))
  assert len(lines) == 6 * len(COLUMNS) + 4 * len(MEASURES)
  assert (lines[0]["row"], lines[0]["source"]) == ("causal", "causal_head")
  assert float(lines[0]["mean"]) == pytest.approx(np.mean(list(HEAD.values())))
  assert lines[0]["seeds"] == "4"
  assert lines[-1]["metric"] == "elsewhere_false_positive_rate"
  assert lines[-1]["note"] == "no weights: pretrained/beit3.pth"
  with Image.open(stem.with_suffix(".png")) as image:
    assert min(image.size) > 300


def test_a_panel_a_measure(partial):
  figure = plots.draw(results.read(partial))
  titles = [ax.get_title() for ax in figure.axes]
  assert titles == [*COLUMNS, *MEASURES.values()]
  for ax, names in (
    (
      figure.axes[0],
      [
        *("causal: causal head", "causal: scores", "q2l: scores"),
        *("c_tran", "beit3", "training labels"),
      ],
    ),
    (figure.axes[len(COLUMNS)], ["causal", "q2l", "c_tran", "beit3"]),
  ):
    assert [t.get_text() for t in ax.get_yticklabels()] == names
    low, high = ax.get_ylim()
    assert low > high
  (points,) = figure.axes[0].containers
  drawn = points.lines[0].get_xydata()
  means = [np.mean(list(x.values())) for x in (HEAD, SCORES, OTHER)] + [COUNTS]
  np.testing.assert_allclose(drawn, np.transpose([means, [0, 1, 2, 5]]))


def test_what_a_data_set_does_not_allow_is_left_out(tmp_path):
  made = finished(tmp_path, known=False)
  write_table.write(made)
  found = results.read(made).document
  assert found["recovery"] is found["reliance"] is None
  assert {run["state"] for run in found["rows"][0]["runs"].values()} == {"done"}
  text = (tmp_path / "table_effects.md").read_text()
  assert "causal model is not known" in text
  assert "cannot be drawn anew" in text
  assert "AUROC" not in text
  assert "Not finished" not in text
  assert len((tmp_path / "table_effects.csv").read_text().splitlines()) == 1
  assert not (tmp_path / "table_effects.png").exists()


def test_a_table_without_any_result(tmp_path):
  write_table.write(plan("effects", tmp_path, ["causal"]))
  text = (tmp_path / "table_effects.md").read_text()
  assert "- causal: not run yet: seed 0" in text
  assert f"| causal |{' - |' * 6} 0 of 1 |" in text
  assert "difference" not in text
  assert not (tmp_path / "table_effects.png").exists()
