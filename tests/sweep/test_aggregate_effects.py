import csv
import io
import json

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from causal_mlr_jax.studies.effects.report import COLUMNS, MEASURES
from causal_mlr_jax.sweep import (
  aggregate,
  aggregate_effects,
  plots_effects,
  table_files_effects,
)

SETTINGS = {"split": "", "max_images": 500}
ABOUT = {
  "table": "effects",
  "title": "Which effects are causal",
  "config": "configs/x.py",
  "note": "",
}
HEAD = {0: 0.8, 1: 0.75, 2: 0.9}
SCORES = {0: 0.5, 1: 0.55, 2: 0.52}
OTHER = {0: 0.6, 1: 0.45, 2: 0.5}
COUNTS = 0.7


def write(path, value):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps(value))


def measured(folder, sources, drop, known=True):
  """Writes what was measured on a run; no source knows the direction."""
  sources = sources | {"training_labels": COUNTS}
  found = {}
  for name, value in sources.items():
    found[name] = {"strongest": []}
    if known:
      recovery = dict.fromkeys(COLUMNS.values(), value)
      found[name]["recovery"] = recovery | {"direction": None, "edges": 8}
  reliance = {key: {"mean": drop, "each": {}} for key in MEASURES}
  result = {
    "split": "test",
    "settings": SETTINGS,
    "sources": found,
    "reliance": reliance | {"images": 500} if known else None,
  }
  write(folder / "effects" / "effects.json", result)
  write(folder / "report" / "report.json", {"metrics": {}})


def rows(tmp_path, known=True):
  causal = {seed: tmp_path / f"causal-{seed}" for seed in HEAD}
  other = {seed: tmp_path / f"q2l-{seed}" for seed in OTHER}
  for seed in HEAD:
    own = {"scores": SCORES[seed], "causal_head": HEAD[seed]}
    measured(causal[seed], own, 0.1 + 0.01 * seed, known)
    measured(other[seed], {"scores": OTHER[seed]}, 0.3 - 0.02 * seed, known)
  return [aggregate.Row("causal", causal), aggregate.Row("q2l", other)]


def table(rows):
  return aggregate_effects.aggregate(rows, SETTINGS, **ABOUT)


def test_a_line_for_each_source_compared_with_the_first(tmp_path):
  found = table(rows(tmp_path))
  assert (found["seeds"], found["split"]) == ([0, 1, 2], "test")
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
    assert last[key]["values"] == {"0": 0.6, "1": 0.45, "2": 0.5}
    assert last[key]["mean"] == pytest.approx(np.mean(a))
    low, high = stats.t.interval(0.95, 2, np.mean(a), stats.sem(a))
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
  causal, other = table(rows(tmp_path))["reliance"]
  assert (causal["row"], other["row"]) == ("causal", "q2l")
  for key in MEASURES:
    assert causal["cells"][key]["mean"] == pytest.approx(0.11)
    assert causal["cells"][key]["difference"] is None
    assert other["cells"][key]["mean"] == pytest.approx(0.28)
    assert other["cells"][key]["difference"] == pytest.approx(0.17)
    assert other["cells"][key]["p_value"] < 0.05


@pytest.fixture
def partial(tmp_path):
  """Failed in training, in measurement, not measured, and not allowed."""
  causal, q2l = rows(tmp_path)
  failure = {"exit_code": 2, "reason": "no such split"}
  folders = {seed: tmp_path / f"c_tran-{seed}" for seed in range(4)}
  write(folders[0] / "failed.json", failure)
  for seed in (1, 2):
    write(folders[seed] / "report" / "report.json", {"metrics": {}})
  write(folders[1] / "effects" / "failed.json", failure)
  other = {"settings": SETTINGS | {"max_images": 9}}
  write(folders[2] / "effects" / "effects.json", other)
  return table(
    [
      causal,
      q2l,
      aggregate.Row("c_tran", folders),
      aggregate.Row("beit3", {}, "no weights: beit3"),
    ]
  )


def test_markdown_shows_numbers_and_why_there_are_none(partial):
  text = table_files_effects.markdown(partial)
  lines = text.splitlines()
  assert lines[0] == "# Which effects are causal"
  assert "model-based\nintervention scores, not identified" in text
  number = "0.817 ± 0.190"
  assert (
    f"| causal: causal head | {number} | {number} | {number} | {number} | - "
    f"| {number} | 3 |" in lines
  )
  assert f"| training labels |{' 0.700 |' * 4} - | 0.700 | - |" in lines
  assert f"| c_tran |{' - |' * 6} 0 of 4, 2 failed |" in lines
  assert f"| beit3 |{' - |' * 4} no weights: beit3 |" in lines
  assert any(
    line.startswith("| difference to causal: causal head |") for line in lines
  )
  p = stats.ttest_rel(list(OTHER.values()), list(HEAD.values())).pvalue
  assert f"| q2l: scores | -0.300 (p = {p:.2g}) |" in text
  assert "| difference to causal | score lost over a foreign scene |" in text
  assert (
    "- c_tran: seed 0 failed, training, exit code 2: no such split" in lines
  )
  assert (
    "- c_tran: seed 1 failed, measurement, exit code 2: no such split" in lines
  )
  assert "- c_tran: not run yet: seed 2, 3" in lines
  assert "- beit3: no weights: beit3" in lines


def test_all_forms_are_written(partial, tmp_path):
  stem = tmp_path / "out" / "table_effects"
  table_files_effects.write(partial, stem)
  plots_effects.write(partial, stem.with_suffix(".png"))
  assert json.loads(stem.with_suffix(".json").read_text()) == partial
  assert stem.with_suffix(".md").read_text() == table_files_effects.markdown(
    partial
  )
  text = stem.with_suffix(".csv").read_text()
  lines = list(csv.DictReader(io.StringIO(text)))
  assert len(lines) == 6 * len(COLUMNS) + 4 * len(MEASURES)
  assert (lines[0]["row"], lines[0]["source"]) == ("causal", "causal_head")
  assert float(lines[0]["mean"]) == pytest.approx(np.mean(list(HEAD.values())))
  assert lines[0]["seeds"] == "3"
  assert lines[-1]["metric"] == "elsewhere_false_positive_rate"
  assert lines[-1]["note"] == "no weights: beit3"
  with Image.open(stem.with_suffix(".png")) as image:
    assert min(image.size) > 300


def test_a_panel_a_measure(partial):
  figure = plots_effects.draw(partial)
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
  found = table(rows(tmp_path, known=False))
  assert found["recovery"] is found["reliance"] is None
  assert {run["state"] for run in found["rows"][0]["runs"].values()} == {"done"}
  text = table_files_effects.markdown(found)
  assert "causal model is not known" in text
  assert "cannot be drawn anew" in text
  assert "AUROC" not in text
  assert "Not finished" not in text
  assert len(table_files_effects.csv_text(found).splitlines()) == 1
  plots_effects.write(found, tmp_path / "table.png")
  assert not (tmp_path / "table.png").exists()


def test_a_table_without_any_result(tmp_path):
  found = table([aggregate.Row("causal", {0: tmp_path / "causal-0"})])
  text = table_files_effects.markdown(found)
  assert "- causal: not run yet: seed 0" in text
  assert f"| causal |{' - |' * 6} 0 of 1 |" in text
  assert "difference" not in text
  plots_effects.write(found, tmp_path / "table.png")
  assert not (tmp_path / "table.png").exists()
