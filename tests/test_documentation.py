"""What the pages say can be done can be done: commands, samples, links."""

import importlib.util
import re
import shutil
import types

import jax
import numpy as np
import pytest

from causal_mlr_jax.data.preprocess import op_string
from causal_mlr_jax.inference import image_batches
from causal_mlr_jax.modes import MODES
from causal_mlr_jax.sweep.table_rows import TABLES
from tests import documentation, heads
from tests.documentation import PAGES, UNMET
from tests.methods import test_contract
from tests.paths import ROOT

COMMANDS = documentation.blocks("bash")
SAMPLES = documentation.blocks("python")
# Pages whose commands need only a trained model: they are run by fast tests.
OF_A_MODEL = "use-the-model"
PARSE = """
import os, sys
os.chdir({folder!r})
from causal_mlr_jax import main
main.parse_flags(sys.argv)
"""
RUN = """
import os, sys
os.chdir({folder!r})
from causal_mlr_jax import main
sys.exit(main.cli(sys.argv))
"""
DRY_RUN = """
import os, sys
os.chdir({folder!r})
sys.argv.append("--dry-run")
from causal_mlr_jax.sweep import command
sys.exit(command.cli(sys.argv))
"""


def name(block):
  return f"{block.page}-{block.number}"


@pytest.fixture
def folder(tmp_path):
  documentation.make_folder(tmp_path)
  return tmp_path


@pytest.mark.parametrize("block", COMMANDS, ids=name)
def test_every_command_is_understood(block, folder, forks):
  assert block.title in ("", *UNMET)
  programs = []
  for call in documentation.calls(block, folder):
    flags = documentation.flags_of_program(call)
    if flags is not None:
      programs.append(flags)
    elif call[:3] == ["python", "-m", "causal_mlr_jax.sweep"]:
      (done,) = forks.run(DRY_RUN.format(folder=str(folder)), call[3:])
      assert done.returncode == 0, done.stderr
      assert " 0 done" in done.stdout
    elif call[:2] == ["python", "-m"]:
      assert importlib.util.find_spec(call[2]), call
      assert not any("*" in word for word in call)  # the files are there
    else:
      assert call[0].endswith(documentation.NOTED), call
      for word in call[1:]:
        assert word in ("install", ".", "serve") or (ROOT / word).exists()
  if programs:
    for done in forks.run(PARSE.format(folder=str(folder)), *programs):
      assert done.returncode == 0, done.stderr


def run_page(page, folder, forks):
  for block in COMMANDS:
    if block.page != page or block.title in UNMET:
      continue
    for call in documentation.calls(block, folder):
      flags = documentation.flags_of_program(call)
      if flags is None:
        continue
      flags = documentation.smaller(flags)
      (done,) = forks.run(RUN.format(folder=str(folder)), flags)
      assert done.returncode == 0, f"{call}\n{done.stderr}"


PAGES_THAT_TRAIN = ["README", "audit", "own-images", "train-and-compare"]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES_THAT_TRAIN)
def test_the_commands_of_a_page_run_in_their_order(
  page, folder, forks, data_dir
):
  shutil.copytree(data_dir, folder / "data_dir")
  documentation.make_photos(folder)
  run_page(page, folder, forks)


def test_no_page_is_left_out(folder):
  runs = {
    block.page
    for block in COMMANDS
    if not block.title
    for call in documentation.calls(block, folder)
    if documentation.flags_of_program(call) is not None
  }
  assert runs == {*PAGES_THAT_TRAIN, OF_A_MODEL}


@pytest.fixture
def trained(folder, causal_run):
  shutil.copytree(causal_run, folder / "runs" / "causal")
  documentation.make_new_photos(folder)
  return folder


def test_commands_of_a_trained_model_run(trained, forks):
  run_page(OF_A_MODEL, trained, forks)
  assert (trained / "predictions.jsonl").read_text().count("\n") == 2
  assert (trained / "best.csv").read_text().count("\n") == 1 + 2 * 3
  same = (trained / "same.jsonl").read_text()
  assert same == (trained / "predictions.jsonl").read_text()


def test_samples_of_a_trained_model_run(
  trained, exported_run, monkeypatch, capsys
):
  pytest.importorskip("onnxruntime")
  shutil.copytree(exported_run, trained / "exported")
  monkeypatch.chdir(trained)
  names = {}
  for block in SAMPLES:
    if block.page == OF_A_MODEL:
      exec(block.text, names)
  want = names["prediction"].probabilities
  assert want.shape == (2, len(names["model"].labels))
  assert "causal" in capsys.readouterr().out
  for outputs, atol in (
    (names["outputs"], 1e-4),
    (names["program"].call(names["pixels"]), 1e-5),
  ):
    np.testing.assert_allclose(outputs["probabilities"], want, atol=atol)
  for text in (
    "decode|resize(64)",
    "decode|resize(64, 60)",
    "decode|resize_small(71)|central_crop(64)",
  ):
    names["about"]["preprocessing"] = op_string.describe(text)
    reader = image_batches.ImageReader(text, (64, 64, 3))
    for path in ("new_photos/1.png", "new_photos/2.png"):
      np.testing.assert_array_equal(names["read"](path), reader.read(path))


def test_the_sample_of_a_method_keeps_the_contract():
  (block,) = (block for block in SAMPLES if block.page == "extend")
  method = types.ModuleType("method")
  exec(block.text, method.__dict__)
  features, _ = test_contract.make_inputs()
  head = method.Head(num_labels=test_contract.LABELS)
  variables = heads.init(head, jax.random.key(0), features, {}, train=True)
  output = heads.apply(head, variables, features, {})
  shape = (test_contract.BATCH, test_contract.LABELS)
  assert output.logits.shape == shape
  assert method.scores(output).shape == shape
  assert output.aux["attention"].shape == (*shape, 16)
  assert method.NEEDS == ()
  assert callable(method.loss)


def test_every_mode_and_table_is_described():
  (flags,) = (p for p in PAGES if p.stem == "train-and-compare")
  assert set(re.findall(r"^\| `--mode=(\w+)`", flags.read_text(), re.M)) >= {
    *MODES
  }
  (tables,) = (p for p in PAGES if p.stem == "tables")
  assert not {t for t in TABLES if f"`{t}`" not in tables.read_text()}


def slugs(text):
  """The anchors of the headings of a page."""
  text = re.sub(r"^(```+).*?^\1$", "", text, flags=re.M | re.S)
  for heading in re.findall(r"^#+ (.*)$", text, re.M):
    plain = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    yield re.sub(r"[\s]", "-", plain)


@pytest.mark.parametrize(
  "page",
  [*PAGES, ROOT / "CHANGELOG.md", ROOT / "results" / "README.md"],
  ids=lambda page: str(page.relative_to(ROOT)),
)
def test_links_lead_somewhere(page):
  text = re.sub(r"^(```+).*?^\1$", "", page.read_text(), flags=re.M | re.S)
  for target in re.findall(r"\]\(([^)]+)\)", text):
    if target.startswith("https://"):
      continue
    path, _, anchor = target.partition("#")
    there = page.parent / path if path else page
    assert there.exists(), target
    if anchor:
      assert anchor in slugs(there.read_text()), target
    if page.parent.name == "docs":  # the site holds no other files
      assert there.parent == page.parent, target


def test_all_keys_are_shown():
  # A formatter of Python may take the line for code and break it.
  page = (ROOT / "docs" / "configuration.md").read_text()
  shown = re.findall(r'^--8<-- "(.+)"$', page, re.M)
  assert shown == ["configs/common.py", "configs/registry.py"]
