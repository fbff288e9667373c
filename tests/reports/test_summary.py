import json

import pytest

from causal_mlr_jax.reports import summary


@pytest.mark.parametrize("metric", ["map", "top3_recall"])
def test_the_table_shows_every_split_and_says_what_is_missing(
  metric, tmp_path, capsys
):
  recall = {"exclusive": 1.25, "cooccur": None, "all": 3.75}
  metrics = {
    "top3_recall": recall,
    "exclusive_map": 12.34,
    "cooccur_map": None,
    "all_map": 56.78,
    "warnings": ["2 label(s) have no image in this set"],
  }
  report = {
    "metrics": {"test": metrics},
    "seconds": {"data": 1.2, "training": 61.0},
    "config": {
      "method": {"name": "causal"},
      "data": {"name": "folder"},
      "evaluate": {"metric": metric},
    },
  }
  path = tmp_path / "report.json"
  path.write_text(json.dumps(report))
  summary.show(path)
  shown = capsys.readouterr().out
  numbers = {"map": ("mAP", "12.3", "56.8"), "top3_recall": ("1.2", "3.8")}
  for words in ("causal on folder", "-", "no image", "62 s", *numbers[metric]):
    assert words in shown
  assert str(path) in shown
