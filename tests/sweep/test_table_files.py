import csv
import io
import json
import math

import numpy as np
import pytest
from scipy import stats

from causal_mlr_jax.sweep import aggregate, table_files

ABOUT = {
  "table": "methods",
  "title": "All methods",
  "source": "Table 1",
  "config": "configs/x.py",
  "note": "",
  "x_label": "",
}
BASELINE = {0: 20.0, 1: 22.5, 2: 21.0}
CAUSAL = {0: 28.0, 1: 27.5, 2: 30.0}


def done(folder, value, metric="map"):
  """Writes the report of a run; co-occur is unknown."""
  if metric == "map":
    metrics = {
      "exclusive_map": value,
      "cooccur_map": None,
      "all_map": value + 30,
    }
  else:
    metrics = {
      "top3_recall": {"exclusive": value, "cooccur": None, "all": value + 30}
    }
  path = folder / "report" / "report.json"
  path.parent.mkdir(parents=True)
  path.write_text(json.dumps({"metrics": {"test": metrics}}))


def rows(tmp_path, metric="map"):
  folders = {}
  for name, values in {"baseline": BASELINE, "causal": CAUSAL}.items():
    folders[name] = {s: tmp_path / f"{name}-{s}" for s in values}
    for seed, value in values.items():
      done(folders[name][seed], value, metric)
  return [
    aggregate.Row("baseline", folders["baseline"]),
    aggregate.Row("causal", folders["causal"], paper=(29.7, 69.6, None)),
  ]


@pytest.mark.parametrize("metric", ["map", "top3_recall"])
def test_the_numbers_are_those_of_scipy(metric, tmp_path):
  found = aggregate.aggregate(rows(tmp_path, metric), metric, "test", **ABOUT)
  assert found["seeds"] == [0, 1, 2]
  assert found["splits"] == ["test"]
  first, second = (row["splits"]["test"] for row in found["rows"])
  a, b = list(CAUSAL.values()), list(BASELINE.values())
  cell = second["exclusive"]
  assert cell["mean"] == pytest.approx(np.mean(a))
  low, high = stats.t.interval(0.95, 2, np.mean(a), stats.sem(a))
  assert cell["half_width"] == pytest.approx((high - low) / 2)
  assert cell["difference"] == pytest.approx(np.mean(np.subtract(a, b)))
  assert cell["p_value"] == pytest.approx(stats.ttest_rel(a, b).pvalue)
  assert second["all"]["mean"] == pytest.approx(np.mean(a) + 30)
  assert second["cooccur"]["mean"] is None
  assert second["cooccur"]["difference"] is None
  assert first["exclusive"]["mean"] == pytest.approx(np.mean(b))
  assert first["exclusive"]["difference"] is None
  assert first["exclusive"]["p_value"] is None


def test_differences_are_over_the_seeds_of_both():
  mean, p = aggregate.paired({0: 5.0, 1: 7.0, 2: 9.0}, {2: 4.0, 1: 3.0, 7: 0.0})
  assert mean == 4.5
  assert p == pytest.approx(stats.ttest_rel([7, 9], [3, 4]).pvalue)
  mean, p = aggregate.paired({0: 5.0}, {0: 3.0})
  assert mean == 2
  assert math.isnan(p)
  mean, p = aggregate.paired({0: 5.0, 1: 6.0}, {0: 3.0, 1: 4.0})
  assert mean == 2
  assert math.isnan(p)  # no spread
  mean, p = aggregate.paired({0: 0.1 + 0.2, 1: 1.3}, {0: 0.3, 1: 1.3})
  assert mean == pytest.approx(0, abs=1e-12)
  assert all(map(math.isnan, aggregate.paired({0: 5.0}, {1: 3.0})))


@pytest.fixture
def partial(tmp_path):
  """Two rows, one of which failed once and one that cannot be run."""
  baseline, causal = rows(tmp_path)
  failed = tmp_path / "causal-3"
  failed.mkdir()
  failure = {"exit_code": 3, "reason": "the loss is not finite"}
  (failed / "failed.json").write_text(json.dumps(failure))
  folders = causal.folders | {3: failed, 4: tmp_path / "causal-4"}
  weightless = aggregate.Row("beit3", {}, "no weights: beit3")
  return aggregate.aggregate(
    [baseline, causal._replace(folders=folders), weightless],
    "map",
    "test",
    **ABOUT,
  )


def test_markdown_shows_what_failed_and_what_is_missing(partial):
  text = table_files.markdown(partial)
  lines = text.splitlines()
  assert lines[0] == "# All methods (Table 1 of the paper)"
  assert "| baseline | 21.2 ± 3.1 | - | 51.2 ± 3.1 | - | - | - | 3 |" in lines
  assert (
    "| causal | 28.5 ± 3.3 | - | 58.5 ± 3.3 | 29.7 | 69.6 | - "
    "| 3 of 5, 1 failed |" in lines
  )
  assert "| beit3 | - | - | - | - | - | - | no weights: beit3 |" in lines
  assert "| `test`, difference to baseline | Exclusive | Co-occur | All |" in (
    lines
  )
  p = stats.ttest_rel(list(CAUSAL.values()), list(BASELINE.values())).pvalue
  difference = f"+7.3 (p = {p:.2g})"
  assert f"| causal | {difference} | - | {difference} |" in lines
  assert "- causal: seed 3 failed, exit code 3: the loss is not finite" in lines
  assert "- causal: not run yet: seed 4" in lines
  assert "- beit3: no weights: beit3" in lines


def test_csv_and_json_hold_the_same(partial, tmp_path):
  stem = tmp_path / "out" / "table_methods"
  table_files.write(partial, stem)
  assert json.loads(stem.with_suffix(".json").read_text()) == partial
  assert stem.with_suffix(".md").read_text() == table_files.markdown(partial)
  text = stem.with_suffix(".csv").read_text()
  lines = list(csv.DictReader(io.StringIO(text)))
  assert len(lines) == 3 * 3
  line = lines[3]
  assert (line["row"], line["split"], line["metric"]) == (
    "causal",
    "test",
    "exclusive",
  )
  cell = partial["rows"][1]["splits"]["test"]["exclusive"]
  assert float(line["mean"]) == cell["mean"]
  assert float(line["p_value"]) == cell["p_value"]
  assert float(line["paper"]) == 29.7
  assert line["seeds"] == "3"
  assert "not finite" in line["note"]
  assert lines[4]["mean"] == ""
  assert lines[6]["note"] == "no weights: beit3"


def test_a_table_without_any_result(tmp_path):
  row = aggregate.Row("baseline", {0: tmp_path / "baseline-0"})
  found = aggregate.aggregate([row], "map", "test", **ABOUT)
  text = table_files.markdown(found)
  assert "- baseline: not run yet: seed 0" in text
  assert "±" in text
  assert "baseline" in table_files.csv_text(found)


def test_numbers_of_the_paper_stand_beside_their_split_alone(tmp_path):
  found = aggregate.aggregate(rows(tmp_path), "map", "other", **ABOUT)
  assert "paper:" not in table_files.markdown(found)
  assert "29.7" not in table_files.csv_text(found)


def test_rows_are_compared_with_the_reference(tmp_path):
  made = rows(tmp_path)
  name = made[1].name
  found = aggregate.aggregate(made, "map", "test", name, **ABOUT)
  assert found["reference"] == name
  for row in found["rows"]:
    cell = row["splits"]["test"]["all"]
    assert (cell["difference"] is None) == (row["name"] == name)
  text = table_files.markdown(found)
  assert f"difference to {name}" in text
  assert (
    aggregate.aggregate(made, "map", "test", "gone", **ABOUT)["reference"]
    == made[0].name
  )
