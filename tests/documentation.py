"""The code in the pages of the documentation, and small data to run it on.

A block of commands is run by bash in a folder where each program only notes how
it was called. So bash reads the block as a user's does, and a test decides what
to do with each call.
"""

import os
import re
import shutil
import subprocess
from typing import NamedTuple

from PIL import Image

from tests.paths import ROOT

PAGES = [
  ROOT / "README.md",
  ROOT / "CONTRIBUTING.md",
  *sorted((ROOT / "docs").glob("*.md")),
]
# Titles of blocks that no test can run.
UNMET = (
  "Needs a GPU",
  "Needs a TPU",
  "Needs Slurm",
  "Needs idle cores",
  "Needs official files",
)
# Programs that only note how they were called.
NOTED = (
  *("python", "causal-mlr", "pip", "mkdocs", "sbatch"),
  *("launch/local.sh", "launch/test.sh", "launch/setup.sh", "launch/gpu.sh"),
  *("launch/tpu_vm.sh", ".venv/bin/activate", ".venv/bin/pre-commit"),
)
NOTE = """\
[ "${BASH_SOURCE[0]}" = .venv/bin/activate ] ||
  printf '%s\\0' "${BASH_SOURCE[0]#"$HERE"/bin/}" "$@" END >> "$HERE/calls"
"""
SMALL_TRAINING = (
  "--config.train.epochs=1",
  "--config.train.batch_size=8",
  "--config.evaluate.batch_size=16",
  "--config.confounders.image_size=32",
  "--config.confounders.batch_size=48",
  "--config.confounders.num=4",
  "--config.confounders.backbone.name=resnet",
  "--config.confounders.backbone.depth=18",
  "--config.confounders.backbone.stage_sizes=(1,1)",
  "--config.confounders.backbone.width=4",
  "--config.confounders.backbone.stem=small",
  "--config.confounders.backbone.pretrained=scratch",
)
# What makes a command small, by its configuration.
SMALLER = {
  "context_emoji": (
    *SMALL_TRAINING,
    "--config.data.variant=small",
    "--config.effects.max_images=20",
  ),
  "folder": (
    *SMALL_TRAINING,
    "--config.data.preprocess_train=decode|resize(32)",
    "--config.data.preprocess_evaluate=decode|resize(32)",
    "--config.backbone.name=resnet",
    "--config.backbone.depth=18",
    "--config.backbone.stage_sizes=(1,1,1)",
    "--config.backbone.width=8",
    "--config.backbone.pretrained=scratch",
  ),
}
_BLOCK = re.compile(r"^```(\w+)([^\n`]*)\n(.*?)^```$", re.M | re.S)
_CONFIG = re.compile(r"--config=configs/(\w+)\.py")


class Block(NamedTuple):
  """A block of code in a page."""

  page: str
  number: int
  language: str
  title: str
  text: str


def blocks(language):
  """The blocks of a language in all pages."""
  found = []
  for path in PAGES:
    # Four backquotes show how a block is written.
    text = re.sub(r"^````.*?^````$", "", path.read_text(), flags=re.M | re.S)
    for number, (own, head, code) in enumerate(_BLOCK.findall(text), 1):
      title = re.fullmatch(r'(?: title="(.*)")?', head)
      assert title, f"{path.name}: {head}"
      if own == language:
        found.append(Block(path.stem, number, own, title[1] or "", code))
  return found


def make_folder(folder):
  """Makes a folder to run pages in, with ten photographs and two new ones."""
  for name in NOTED:
    path = folder / (name if "/" in name else f"bin/{name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{NOTE}" if "/bin/a" not in name else "")
    path.chmod(0o755)
  (folder / "tests").mkdir()
  (folder / "tests" / "golden").symlink_to(ROOT / "tests" / "golden")
  shutil.copy(ROOT / "launch" / "slurm.sbatch", folder / "launch")


def make_photos(folder):
  """Adds 40 photographs with their labels."""
  photos = folder / "photos"
  photos.mkdir()
  lines = ["path,labels"]
  for i in range(40):
    own = [name for n, name in enumerate(("car", "person")) if i >> n & 1]
    Image.new("RGB", (40, 36), (6 * i, 90, 0)).save(photos / f"{i}.png")
    lines.append(f"{i}.png,{';'.join(own)}")
  (photos / "labels.csv").write_text("\n".join([*lines, ""]))


def make_new_photos(folder):
  """Adds two images to predict."""
  photos = folder / "new_photos"
  photos.mkdir()
  for i in (1, 2):
    Image.new("RGB", (70, 50 + i), (90 * i, 60, 0)).save(photos / f"{i}.png")


def calls(block, folder):
  """The commands of a block, each as a list of words."""
  noted = folder / "calls"
  noted.unlink(missing_ok=True)
  done = subprocess.run(
    ["bash", "-euc", block.text],
    cwd=folder,
    env=os.environ
    | {"HERE": str(folder), "PATH": f"{folder}/bin:{os.environ['PATH']}"},
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  assert not done.stdout, "a command that is not in NOTED"
  found = re.split(r"(?:^|(?<=\0))END\0", noted.read_text())
  return [call.split("\0")[:-1] for call in found if call]


def flags_of_program(call):
  """The flags of a call of the program; None of another one."""
  if call[:3] == ["python", "-m", "causal_mlr_jax.main"]:
    return call[3:]
  if call[0] in ("launch/gpu.sh", "causal-mlr"):
    return call[1:]
  if call[:2] == ["sbatch", "launch/slurm.sbatch"]:
    return ["--distributed", *call[2:]]
  if call[0] == "launch/tpu_vm.sh":
    return ["--distributed", *call[1:]]
  if call[0] == "launch/local.sh":
    return ["--config=configs/context_emoji.py", *call[1:]]
  return None


def smaller(flags):
  """Flags of a run that takes seconds."""
  named = _CONFIG.search(" ".join(flags))
  # All formats take long, and tests have them from `exported_run`.
  quick = ["--format=safetensors"] if "--mode=export" in flags else []
  return [*flags, *quick, *(SMALLER[named[1]] if named else ())]
