"""The audit finds pairs, and every evaluation can use them."""

import csv
import json

import numpy as np
import pytest

from causal_mlr_jax import run
from causal_mlr_jax.core.errors import UserError
from tests import small


@pytest.fixture(scope="module")
def audited(data_dir, tmp_path_factory):
  path = tmp_path_factory.mktemp("audit")
  flags = {"audit.num_pairs": 5, "backbone.stage_sizes": (1,)}
  config = small.config("causal", data_dir, **flags)
  run.run(config, str(path), "audit")
  return path / "audit"


def test_what_an_audit_writes(audited, data_dir):
  dataset = small.dataset(data_dir)
  result = json.loads((audited / "pairs.json").read_text())
  pairs = result["pairs"]
  assert len(pairs) == 5
  bias = [row["bias"] for row in pairs]
  assert bias == sorted(bias, reverse=True)
  labels = dataset.label_matrix("test")
  for row in pairs:
    b, c = (dataset.labels.index(row[key]) for key in ("label", "context"))
    both = int((labels[:, b] * labels[:, c]).sum())
    counts = row["images"]["test"]
    assert counts == {
      "exclusive": int(labels[:, b].sum()) - both,
      "cooccur": both,
    }
    # A context stands with a fifth of the label's images, at least.
    seen = dataset.label_matrix("train[:80%]")
    assert seen[seen[:, b] == 1, c].mean() >= 0.2
  assert any("fewer than 30" in warning for warning in result["warnings"])
  assert 0 <= result["agreement"]["precision"] <= 1
  with (audited / "labels.csv").open() as file:
    rows = list(csv.DictReader(file))
  assert [row["label"] for row in rows] == list(dataset.labels)
  np.testing.assert_array_equal(
    [int(row["test"]) for row in rows], labels.sum(0)
  )


def test_the_classifier_did_not_see_what_it_scored(audited):
  config = json.loads((audited / "config.json").read_text())
  assert config["data"]["train_split"] == "train[:80%]"
  assert config["method"]["name"] == "baseline"


def test_an_evaluation_on_the_pairs_of_an_audit(
  audited, baseline_run, data_dir, tmp_path
):
  path = audited / "pairs.json"
  flags = small.SHORT | {"data.pairs": str(path)}
  config = small.config(
    "baseline", data_dir, **flags, init_from=str(baseline_run)
  )
  for mode in ("import", "evaluate"):
    run.run(config, str(tmp_path / "run"), mode)
  report = json.loads((tmp_path / "run" / "report" / "report.json").read_text())
  want = [
    f"{row['label']} <- {row['context']}"
    for row in json.loads(path.read_text())["pairs"]
  ]
  assert list(report["metrics"]["test"]["per_pair"]) == want

  other = tmp_path / "other.json"
  other.write_text('{"pairs": [{"label": "unicorn", "context": "cake"}]}')
  for file, words in ((other, "unicorn"), (tmp_path / "none", "cannot read")):
    config = small.config("baseline", data_dir, **{"data.pairs": str(file)})
    with pytest.raises(UserError, match=words):
      run.run(config, str(tmp_path / "second"), "train")


@pytest.mark.parametrize(
  "options",
  [{"train_percent": 100}, {"threshold": 0.0}, {"num_pairs": 0}],
)
def test_numbers_out_of_range(options, data_dir, tmp_path):
  flags = {f"audit.{key}": value for key, value in options.items()}
  config = small.config("baseline", data_dir, **flags)
  with pytest.raises(UserError, match=next(iter(flags))):
    run.run(config, str(tmp_path / "run"), "audit")
  assert not (tmp_path / "run").exists()
