import json

from causal_mlr_jax.reports import summary


def test_the_table_shows_every_split_and_says_what_is_missing(tmp_path, capsys):
  metrics = {
    "exclusive_map": 12.34,
    "cooccur_map": None,
    "all_map": 56.78,
    "warnings": ["2 label(s) have no image in this set"],
  }
  report = {
    "metrics": {"test": metrics},
    "seconds": {"data": 1.2, "training": 61.0},
    "config": {"method": {"name": "causal"}, "data": {"name": "folder"}},
  }
  path = tmp_path / "report.json"
  path.write_text(json.dumps(report))
  summary.show(path)
  shown = capsys.readouterr().out
  for words in ("causal on folder", "12.3", "56.8", "-", "no image", "62 s"):
    assert words in shown
  assert str(path) in shown
