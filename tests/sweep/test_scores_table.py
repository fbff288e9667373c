"""Tables of scores: their numbers, and the files they are written to."""

import csv
import io
import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from causal_mlr_jax.sweep import aggregate, results, write_table
from tests.sweep.prepared import (
  EMOJI,
  FAILURE,
  WEIGHTLESS,
  plan,
  runs_of,
  scored,
  write,
)

BASELINE = {0: 20.0, 1: 22.5, 2: 21.0}
CAUSAL = {0: 28.0, 1: 27.5, 2: 30.0}
PAPER = {"context_emoji": {"causal": (29.7, 69.6, None)}}
# How ml_collections 1.1 loads a configuration file.
pytestmark = pytest.mark.filterwarnings(
  "ignore:the load_module:DeprecationWarning"
)


def finished(folder, splits=("test",), seeds=(0, 1, 2), **more):
  """A plan of two rows, the second with numbers of the paper."""
  made = plan("methods", folder, ("baseline", "causal"), seeds, **more)
  runs = runs_of(made)
  for seed in BASELINE:
    scored(runs["baseline"][seed], BASELINE[seed], *splits)
    scored(runs["causal"][seed], CAUSAL[seed], *splits)
  return made._replace(table=made.table._replace(paper=PAPER))


def document(made):
  return results.read(made).document


@pytest.mark.parametrize("metric", ["map", "top3_recall"])
def test_the_numbers_are_those_of_scipy(metric, tmp_path):
  override = f"--config.evaluate.metric={metric}"
  source = EMOJI._replace(overrides=(override,))
  found = document(finished(tmp_path, source=source))
  assert found["metric"] == metric
  assert found["seeds"] == [0, 1, 2]
  assert found["splits"] == ["test"]
  first, second = (row["splits"]["test"] for row in found["rows"])
  a, b = list(CAUSAL.values()), list(BASELINE.values())
  cell = second["exclusive"]
  assert cell["values"] == {"0": 28.0, "1": 27.5, "2": 30.0}
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


def paired(values, others):
  found = aggregate.cell(pd.Series(values), pd.Series(others))
  return found["difference"], found["p_value"]


def test_differences_are_over_the_seeds_of_both():
  mean, p = paired({0: 5.0, 1: 7.0, 2: 9.0}, {2: 4.0, 1: 3.0, 7: 0.0})
  assert mean == 4.5
  assert p == pytest.approx(stats.ttest_rel([7, 9], [3, 4]).pvalue)
  assert paired({0: 5.0}, {0: 3.0}) == (2, None)
  assert paired({0: 5.0, 1: 6.0}, {0: 3.0, 1: 4.0}) == (2, None)  # no spread
  mean, p = paired({0: 0.1 + 0.2, 1: 1.3}, {0: 0.3, 1: 1.3})
  assert mean == pytest.approx(0, abs=1e-12)
  assert 0 <= p <= 1
  assert paired({0: 5.0}, {1: 3.0}) == (None, None)


@pytest.fixture
def partial(tmp_path):
  """Two rows, the second with runs that failed or are missing, and a third
  one that cannot be run."""
  made = finished(tmp_path, seeds=(0, 1, 2, 3, 4))
  runs = runs_of(made)
  scored(runs["baseline"][3], 21.5)
  scored(runs["baseline"][4], 20.5)
  write(runs["causal"][3].folder / "failed.json", FAILURE)
  return made._replace(rows=(*made.rows, WEIGHTLESS))


def test_markdown_shows_what_failed_and_what_is_missing(partial):
  lines = write_table.markdown(results.read(partial)).splitlines()
  assert lines[0] == "# All methods (Table 1 of the paper)"
  assert "| baseline | 21.1 ± 1.2 | - | 51.1 ± 1.2 | - | - | - | 5 |" in lines
  assert (
    "| causal | 28.5 ± 3.3 | - | 58.5 ± 3.3 | 29.7 | 69.6 | - "
    "| 3 of 5, 1 failed |" in lines
  )
  reason = "no weights: pretrained/beit3.pth"
  assert f"| beit3 | - | - | - | - | - | - | {reason} |" in lines
  assert "| `test`, difference to baseline | Exclusive | Co-occur | All |" in (
    lines
  )
  p = stats.ttest_rel(list(CAUSAL.values()), list(BASELINE.values())).pvalue
  difference = f"+7.3 (p = {p:.2g})"
  assert f"| causal | {difference} | - | {difference} |" in lines
  assert "- causal: seed 3 failed, exit code 3: the loss is not finite" in lines
  assert "- causal: not run yet: seed 4" in lines
  assert f"- beit3: {reason}" in lines


def test_all_files_hold_the_same(partial, tmp_path):
  write_table.write(partial)
  stem = tmp_path / "table_methods"
  found = document(partial)
  assert json.loads(stem.with_suffix(".json").read_text()) == found
  markdown = write_table.markdown(results.read(partial))
  assert stem.with_suffix(".md").read_text() == markdown
  assert stem.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
  text = stem.with_suffix(".csv").read_text()
  lines = list(csv.DictReader(io.StringIO(text)))
  assert len(lines) == 3 * 3
  line = lines[3]
  assert (line["row"], line["split"], line["metric"]) == (
    "causal",
    "test",
    "exclusive",
  )
  cell = found["rows"][1]["splits"]["test"]["exclusive"]
  assert float(line["mean"]) == cell["mean"]
  assert float(line["p_value"]) == cell["p_value"]
  assert float(line["paper"]) == 29.7
  assert line["seeds"] == "3"
  assert "not finite" in line["note"]
  assert lines[4]["mean"] == ""
  assert lines[6]["note"] == "no weights: pretrained/beit3.pth"
  assert not stem.with_suffix(".lock").exists()


def test_csv_has_a_row_after_the_other_one(tmp_path):
  made = finished(tmp_path, splits=("test", "other"))
  lines = write_table.csv_text(results.read(made)).splitlines()[1:]
  names = [tuple(line.split(",")[:2]) for line in lines[::3]]
  assert names == [
    (row, split)
    for row in ("baseline", "causal")
    for split in ("test", "other")
  ]


def test_a_table_without_any_result(tmp_path):
  made = plan("methods", tmp_path, ["baseline"])
  write_table.write(made)
  text = (tmp_path / "table_methods.md").read_text()
  assert "- baseline: not run yet: seed 0" in text
  assert "±" in text
  lines = (tmp_path / "table_methods.csv").read_text().splitlines()
  assert lines[1:] == ["baseline,,,,,0,,,,not run yet: seed 0"]
  assert not (tmp_path / "table_methods.png").exists()


def test_numbers_of_the_paper_stand_beside_their_split_alone(tmp_path):
  found = results.read(finished(tmp_path, splits=("other",)))
  assert found.document["paper_split"] == "test"
  assert "paper:" not in write_table.markdown(found)
  assert "29.7" not in write_table.csv_text(found)


def test_rows_are_compared_with_the_reference(tmp_path):
  found = results.read(finished(tmp_path, reference="causal"))
  assert found.document["reference"] == "causal"
  for row in found.document["rows"]:
    cell = row["splits"]["test"]["all"]
    assert (cell["difference"] is None) == (row["name"] == "causal")
  assert "difference to causal" in write_table.markdown(found)


def test_rows_are_compared_with_the_first_if_the_reference_is_not_shown(
  tmp_path,
):
  made = plan("modules", tmp_path, ["baseline", "decouple_causal"])
  assert made.table.reference == "decouple"
  assert document(made)["reference"] == "baseline"
