"""The model card of a run, and `--mode=info`, which prints it."""

import json
import shutil

import pytest
from markdown_it import MarkdownIt

from causal_mlr_jax.core import lookup
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.dataset import BUILDERS
from causal_mlr_jax.inference.request import Request
from causal_mlr_jax.reports import licences, markdown, model_card
from causal_mlr_jax.stages.report import card as card_lib
from causal_mlr_jax.uses import use
from causal_mlr_jax.workdir import Workdir

STRANGE = (
  "<script>alert(1)</script>",
  "a|b",
  "*x* _y_ `z`",
  "[a](http://b.c)",
  "back\\slash",
  "$x^2$ &amp; ~~c~~",
  "snake_case",
  "猫 😀",
)


def cells(card):
  """Rows of all tables, as a reader of the Markdown sees them."""
  rows = []
  for token in MarkdownIt("commonmark").enable("table").parse(card):
    if token.type == "tr_open":
      rows.append([])
    elif token.type == "inline" and rows:
      kinds = {child.type for child in token.children}
      assert kinds <= {"text", "text_special", "softbreak"}, token.content
      rows[-1].append("".join(child.content for child in token.children))
    elif token.type == "table_close":
      rows.append([])
  return [row for row in rows if row]


@pytest.mark.parametrize("name", STRANGE)
def test_any_text_is_shown_as_it_is(name):
  card = markdown.table(["a", "b"], [[markdown.text(name), "1.0"]])
  assert [name, "1.0"] in cells(card)


def test_a_line_break_and_what_nobody_sees_are_escaped():
  assert markdown.text("a\nb\u202e") == "a\\\\nb\\\\u202e"


def test_a_run_has_a_card_beside_its_checkpoints(causal_run, capsys):
  card = (causal_run / "model_card.md").read_text()
  use.use(str(causal_run), "info", Request())
  assert capsys.readouterr().out == card
  report = json.loads((causal_run / "report" / "report.json").read_text())
  tuned = json.loads((causal_run / "thresholds.json").read_text())
  found = report["metrics"]["test"]
  rows = cells(card)
  (row,) = (r for r in rows if r[:2] == ["test", f"{found['images']}"])
  error = found["standard_error"]["all"]
  assert row[4] == f"{found['all_map']:.1f} ± {error:.1f}"
  assert row[7] == f"{found['calibration_error']:.1f}"
  for name, label in tuned["labels"].items():
    (row,) = (r for r in rows if r[0] == name and len(r) == 7)
    assert f"{label['threshold']:.2f}" == row[5]
  pairs = [r for r in rows if r[0] == "test" and len(r) == 7]
  assert [(r[1], r[2]) for r in pairs] == [
    (p["label"], p["context"]) for p in found["per_pair"].values()
  ]
  assert "Twemoji" in card
  assert "NeurIPS 2024" in card
  assert str(causal_run) not in card


def test_a_run_without_a_card_gets_one_of_what_is_there(
  causal_run, tmp_path, capsys
):
  for name in ("config.json", "data.json"):
    shutil.copy(causal_run / name, tmp_path / name)
  use.use(str(tmp_path), "info", Request())
  card = capsys.readouterr().out
  assert "not evaluated yet" in card
  assert "traffic_light" in card
  assert "None were measured" in card
  assert not (tmp_path / "model_card.md").exists()


def test_strange_labels_are_text_in_the_card(causal_run, tmp_path):
  shutil.copy(causal_run / "config.json", tmp_path)
  data = json.loads((causal_run / "data.json").read_text())
  data["labels"] = list(STRANGE)
  (tmp_path / "data.json").write_text(json.dumps(data))
  card = model_card.make(card_lib.read_facts(Workdir(str(tmp_path))))
  rows = cells(card)
  assert all([name] in rows for name in STRANGE)


def test_a_folder_that_is_none_of_a_run_is_named(tmp_path):
  with pytest.raises(UserError, match="not the folder of a run"):
    use.use(str(tmp_path), "info", Request())


@pytest.mark.parametrize("name", lookup.names(BUILDERS))
def test_every_data_set_says_its_licence(name):
  assert licences.of_data(name) != licences.UNKNOWN


def test_licences_name_weights_and_what_is_not_known():
  config = {
    "data": {"name": "folder"},
    "transfer": {"name": ""},
    "method": {"name": "causal"},
    "backbone": {"pretrained": "IMAGENET1K_V1"},
    "confounders": {"backbone": {"pretrained": "efficientnet_lite0"}},
    "init_from": "",
  }
  found = licences.of_run(config)
  assert "not known" in found["weights that training began from"]
  assert "Apache 2.0" in found["weights that confounders were made with"]
  assert "weights of the whole model" not in found
  config["init_from"] = "q2l.pth"
  assert "not known" in licences.of_run(config)["weights of the whole model"]
