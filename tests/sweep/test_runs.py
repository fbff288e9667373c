"""The tables of sweeps, and what is known of a run before and after it."""

import itertools
import json
import os
import pathlib
import resource

import pytest

from causal_mlr_jax.core import parallel
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.stages import config_check
from causal_mlr_jax.sweep import command, run_configs, table_rows, write_table
from causal_mlr_jax.sweep import plan as sweep_plan
from causal_mlr_jax.sweep import runs as sweep_runs
from causal_mlr_jax.sweep.run_configs import ConfigSource
from tests.paths import ROOT
from tests.sweep.prepared import EMOJI

COMMON = ConfigSource("configs/coco_stuff.py", ",common")
OTHERS = ("deepfashion", "coco_to_nus", "nus_to_coco")
SOURCES = [
  EMOJI,
  COMMON,
  *(ConfigSource(f"configs/{name}.py") for name in OTHERS),
]
# How ml_collections 1.1 loads a configuration file.
pytestmark = pytest.mark.filterwarnings(
  "ignore:the load_module:DeprecationWarning"
)


# ---- Tables ---------------------------------------------------------------


def rows(source):
  for name, table in table_rows.TABLES.items():
    for row in table.rows:
      made = run_configs.make(row, source, [0], pathlib.Path("runs"))
      yield name, row, made[0]


@pytest.mark.parametrize("source", SOURCES)
def test_every_override_is_a_key_and_rows_differ(source):
  found = {}
  for table, row, made in rows(source):
    for key, value in (*row.overrides.items(), *row.at_test.items()):
      at = made.config
      for part in key.split("."):
        at = at[part]
      assert at == json.loads(json.dumps(value)), key
    if sweep_plan.lacks(row, made.config) == "":
      found.setdefault(table, {})[row.name] = made.folder.name
  default = run_configs.resolve(source, "causal")[1].method.adjustment
  # Names of the default: the paper's formula is it in some configurations.
  paper = int(default == "prior")
  names = {"modules": paper, "effects": paper}
  names["intervention"] = 4 - 1 + 2 * paper  # two of its heads have two names
  for table, folders in found.items():
    same = names.get(table, 0)
    assert len(set(folders.values())) == len(folders) - same, table


def test_every_configuration_passes():
  mesh = parallel.make_mesh()
  checked = set()
  for table, row, made in rows(EMOJI):
    if made.folder in checked or sweep_plan.lacks(row, made.config):
      continue
    if table == "tuning" and not row.name.endswith("lr=0.006"):
      continue  # these differ in the rate alone
    checked.add(made.folder)
    settings = [f for f in made.flags[1:] if "config.seed" not in f]
    _, config = run_configs.resolve(EMOJI, row.method, settings)
    config_check.check(config, mesh)
  assert len(checked) > 30


def test_the_tables_are_complete():
  names = {name: t.rows for name, t in table_rows.TABLES.items()}
  methods = sorted(p.stem for p in (ROOT / "causal_mlr_jax/methods").glob("*"))
  methods = [m for m in methods if not m.startswith("__")]
  assert sorted(row.name for row in names["methods"]) == methods
  *same, target, both = names["transfer"]
  assert same == list(names["methods"])
  assert [row.name for row in (target, both)] == [
    "causal_target",
    "causal_both",
  ]
  numbers = [int(row.x) for row in names["clusters"]]
  assert numbers == [1, 5, 20, 40, 60, 80, 100, 200, 500]
  for table in table_rows.TABLES.values():
    known = {row.name for row in table.rows}
    assert len(known) == len(table.rows)
    for paper in table.paper.values():
      assert paper.keys() <= known
  paper = table_rows.TABLES["transfer"].paper
  assert paper["coco to nus_wide"]["q2l"] == (None, None, 82.1)
  assert paper["nus_wide to coco"]["q2l"] == (None, None, 78.6)


def test_the_papers_numbers_find_their_data_and_split():
  for file, name, split in (
    ("coco_stuff", "coco_stuff", "test"),
    ("coco_to_nus", "coco to nus_wide", "nus_wide:test"),
    ("nus_to_coco", "nus_wide to coco", "coco:test"),
  ):
    _, config = run_configs.resolve(
      ConfigSource(f"configs/{file}.py"), "causal"
    )
    assert sweep_plan.data_name(config) == name
    assert sweep_plan.split_of(table_rows.find("methods"), config) == split


def test_the_transfer_table_is_of_the_last_split_and_others_of_the_first():
  last, first = map(table_rows.find, ("transfer", "methods"))
  _, config = run_configs.resolve(EMOJI, "causal")
  assert sweep_plan.split_of(last, config) == "test_shifted"
  assert sweep_plan.split_of(first, config) == "test"
  _, config = run_configs.resolve(
    ConfigSource("configs/coco_to_nus.py"), "causal"
  )
  assert sweep_plan.split_of(last, config) == "nus_wide:test"


def test_rows_that_look_at_the_target_need_one():
  (both,) = table_rows.select(table_rows.find("transfer"), ["causal_both"])
  plain = table_rows.Row("causal")
  for file, reason in (
    ("context_emoji", ""),
    ("coco_to_nus", ""),
    ("coco_stuff", "target_splits"),
  ):
    _, config = run_configs.resolve(
      ConfigSource(f"configs/{file}.py"), "causal"
    )
    said = sweep_plan.lacks(both, config)
    assert bool(said) == bool(reason)
    assert reason in said
    assert sweep_plan.lacks(plain, config) == ""


def test_rows_without_a_target_are_shown_with_the_reason(tmp_path):
  source = ConfigSource("configs/coco_stuff.py")
  found = sweep_plan.make_plan("transfer", source, (0,), tmp_path)
  made = {row.name: len(runs) for row, runs in found.rows}
  assert made["causal_target"] == made["causal_both"] == 0
  assert made["causal"] == 1
  write_table.write(found)
  text = (tmp_path / "table_transfer.md").read_text()
  assert "- causal_target: no images tested on: " in text
  assert "- causal: not run yet: seed 0" in text
  emoji = sweep_plan.make_plan("transfer", EMOJI, (0,), tmp_path)
  assert all(runs for _, runs in emoji.rows)
  write_table.write(emoji)
  table = json.loads((tmp_path / "table_transfer.json").read_text())
  assert table["paper_split"] == "test_shifted"


def test_tuning_sees_no_test_image():
  rows = table_rows.find("tuning").rows
  made = run_configs.make(rows[1], COMMON, [100], pathlib.Path())[100].config
  assert made["data"]["test_splits"] == ["train[95%:]"]
  assert rows[0].name == "baseline lr=0.04"
  assert len(rows) == 12 * 6
  made = {
    row.name: run_configs.make(row, EMOJI, [100], pathlib.Path())[100].config
    for row in rows
  }
  for config in made.values():
    assert config["data"]["test_splits"] == [config["data"]["validation_split"]]
    assert config["transfer"]["name"] == ""
  rates = {c["train"]["learning_rate"] for c in made.values()}
  assert rates == {0.0015, 0.003, 0.006, 0.01, 0.02, 0.04}
  first = {
    made[f"ccd lr={rate:g}"]["first_stage"]["learning_rate"] for rate in rates
  }
  assert len(first) == 1


def test_decouple_has_the_sizes_of_the_causal_method():
  table = table_rows.find("modules")
  (row,) = table_rows.select(table, ["decouple"])
  made = run_configs.make(row, COMMON, [0], pathlib.Path())[0]
  method = made.config["method"]
  assert method["name"] == "q2l"
  assert method["embed_dim"] == 512
  assert method["input_projection"] is True


# ---- Runs -----------------------------------------------------------------


def folder_of(method="causal", *overrides, seed=0):
  source = EMOJI._replace(overrides=overrides)
  row = table_rows.Row(method, method=method)
  (made,) = run_configs.make(row, source, [seed], pathlib.Path()).values()
  return made.folder.name


def test_a_folder_is_named_by_what_the_run_is():
  plain = folder_of()
  assert plain.startswith("causal-")
  assert plain.endswith("-0")
  assert folder_of(seed=3) == plain[:-1] + "3"
  for where in ("--config.data.dir=/x", "--config.data.manual_dir=/y"):
    assert folder_of("causal", where) == plain
  assert folder_of("causal", "--config.confounders.num=20") == plain
  assert folder_of("causal", "--config.confounders.num=81") != plain
  assert folder_of("q2l") != plain


def test_a_field_of_some_methods_goes_to_their_rows(tmp_path):
  override = "--config.method.intervention=pre_norm"
  source = EMOJI._replace(overrides=(override, "--config.train.epochs=7"))
  made = sweep_plan.make_plan("modules", source, (0,), tmp_path)
  assert made.not_taken == {override: ("baseline", "decouple")}
  for row, runs in made.rows:
    assert (override in runs[0].flags) == (row.method == "causal"), row.name
    assert runs[0].config["train"]["epochs"] == 7.0
  without = EMOJI._replace(overrides=("--config.train.epochs=7",))
  other = sweep_plan.make_plan("modules", without, (0,), tmp_path)
  same = {run.folder for run in made.runs} & {run.folder for run in other.runs}
  assert {path.name.partition("-")[0] for path in same} == {"baseline", "q2l"}


def test_sizes_of_a_row_follow_an_override_of_another_method(tmp_path):
  source = EMOJI._replace(overrides=("--config.method.embed_dim=48",))
  made = sweep_plan.make_plan("modules", source, (0,), tmp_path)
  assert list(made.not_taken.values()) == [("baseline",)]
  widths = {
    row.name: runs[0].config["method"].get("embed_dim")
    for row, runs in made.rows
  }
  assert widths.pop("baseline") is None
  assert set(widths.values()) == {48}


def plan(table, tmp_path, shard=(0, 1), names=()):
  return sweep_plan.make_plan(table, EMOJI, (0, 1, 2), tmp_path, names, shard)


def test_shards_share_out_the_runs_and_tables_share_runs(tmp_path):
  whole = [run.folder for run in plan("clusters", tmp_path).runs]
  assert len(set(whole)) == len(whole) == 27
  parts = [
    [run.folder for run in plan("clusters", tmp_path, (i, 4)).runs]
    for i in range(4)
  ]
  assert sorted(itertools.chain(*parts)) == sorted(whole)
  assert {len(part) for part in parts} == {6, 7}
  other = {run.folder for run in plan("confounder_kind", tmp_path).runs}
  assert len(other & set(whole)) == 6  # K-means and its mean, three seeds
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
  ("given", "used"), [("", "random"), ("decouple", "decouple")]
)
def test_the_table_is_compared_with_the_row_asked_for(given, used, tmp_path):
  made = sweep_plan.make_plan(
    "confounder_kind", EMOJI, (0,), tmp_path, reference=given
  )
  write_table.write(made)
  text = (tmp_path / "table_confounder_kind.json").read_text()
  assert json.loads(text)["reference"] == used
  alone = plan("modules", tmp_path, names=("decouple",))
  assert alone.runs[0].folder in {run.folder for run in made.runs}


def test_rows_without_weights_have_no_runs(tmp_path):
  found = plan("confounder_backbone", tmp_path)
  made = {row.name: len(runs) for row, runs in found.rows}
  assert made == {
    "efficientnet_lite0": 3,
    "resnet50": 0,
    "resnet101": 0,
    "beit3_large": 0,
  }
  write_table.write(found)
  text = (tmp_path / "table_confounder_backbone.md").read_text()
  assert "- beit3_large: no weights: pretrained/beit3_large.pth" in text
  only = plan("confounder_backbone", tmp_path, names=["resnet50"])
  assert only.runs == ()


def test_rows_have_runs_where_their_file_is(tmp_path, monkeypatch):
  row = table_rows.find("confounder_backbone").rows[2]
  made = run_configs.make(row, EMOJI, [0], tmp_path)[0]
  section = made.config["confounders"]["backbone"]
  assert (section["name"], section["depth"]) == ("resnet", 101)
  assert section["pretrained"] == row.weights == "pretrained/resnet101.pth"
  assert sweep_plan.lacks(row, made.config)
  (tmp_path / "pretrained").mkdir()
  (tmp_path / row.weights).write_bytes(b"weights")
  monkeypatch.chdir(tmp_path)
  assert sweep_plan.lacks(row, made.config) == ""


def test_a_report_of_another_configuration_does_not_count(tmp_path):
  (row,) = table_rows.select(table_rows.find("methods"), ["ml_gcn"])
  made = run_configs.make(row, EMOJI, [0], tmp_path)[0]
  assert sweep_runs.state_of(made) is sweep_runs.State.MISSING
  config = json.loads(json.dumps(made.config))
  config["method"]["variant"] = "corrected"  # of 'auto'
  config["data"]["dir"] = "elsewhere"
  path = made.folder / "report" / "report.json"
  path.parent.mkdir(parents=True)
  path.write_text(json.dumps({"config": config}))
  assert sweep_runs.state_of(made) is sweep_runs.State.DONE
  config["train"]["epochs"] = 1.5
  path.write_text(json.dumps({"config": config}))
  assert sweep_runs.state_of(made) is sweep_runs.State.MISSING


def test_a_claim_is_held_by_one(tmp_path):
  made = plan("modules", tmp_path).runs[0]
  with sweep_runs.claimed(made) as first:
    assert first is not None
    with sweep_runs.claimed(made) as second:
      assert second is None
  with sweep_runs.claimed(made) as third:
    assert third is not None


def test_a_log_that_cannot_be_written_ends_the_sweep(tmp_path):
  made = plan("modules", tmp_path)
  log = made.runs[0].folder / "stderr.log"
  log.mkdir(parents=True)
  with pytest.raises(UserError, match="log cannot be written: Is a dir"):
    command.make_all(made)
  assert sweep_runs.state_of(made.runs[0]) is sweep_runs.State.MISSING
  assert {path.parent for path in tmp_path.rglob("stderr.log")} == {log.parent}


def test_a_run_that_cannot_be_started_ends_the_sweep(tmp_path):
  made = plan("modules", tmp_path)
  (tmp_path / "runs").mkdir()
  limits = resource.getrlimit(resource.RLIMIT_NOFILE)
  free = os.dup(0)  # the lowest number of a file that is not open
  os.close(free)
  resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
  try:
    with pytest.raises(UserError, match="cannot be started: Too many open f"):
      command.make_all(made)
  finally:
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
  assert sweep_runs.state_of(made.runs[0]) is sweep_runs.State.MISSING


def test_the_time_left_comes_from_the_median(tmp_path):
  assert sweep_plan.time_left(3, tmp_path) == "unknown"
  for i, seconds in enumerate((10.0, 100.0, 5000.0)):
    path = tmp_path / "runs" / str(i) / "report" / "report.json"
    path.parent.mkdir(parents=True)
    times = {"data": 1.0, "training": seconds - 1}
    path.write_text(json.dumps({"seconds": times}))
  assert sweep_plan.time_left(1, tmp_path) == "100 s"
  assert sweep_plan.time_left(3, tmp_path) == "5.0 min"
  assert sweep_plan.time_left(100, tmp_path) == "2.8 h"
