"""Labels and files with any name: they are text in all that a run writes."""

import csv
import html.parser
import json

import numpy as np
import pytest
from PIL import Image

from causal_mlr_jax.inference.request import Request
from causal_mlr_jax.uses import use
from tests import processes
from tests.documentation import SMALLER

# Labels on several lines are refused when they are read.
LABELS = (
  "<script>alert(1)</script>",
  'a "quoted", label',
  "日本語 العربية 🐈",
  "{{ 7 * 7 }} $x_1$",
  "=SUM(A1)",
)
FILES = (
  "<img src=x onerror=alert(1)>.png",
  "quo\"te's, & co.png",
  "two\nlines.png",
  "写真 🐈.png",
)


class Page(html.parser.HTMLParser):
  """The names in a page, and the elements that could run something."""

  def __init__(self, text):
    super().__init__()
    self.names, self.live, self._open = [], [], False
    self.feed(text)

  def handle_starttag(self, tag, attrs):
    self._open = tag == "bdi"
    if self._open:
      self.names.append("")
    self.live += [tag] if tag == "script" else []
    self.live += [key for key, _ in attrs if key.startswith("on")]

  def handle_endtag(self, tag):
    self._open = self._open and tag != "bdi"

  def handle_data(self, data):
    if self._open:
      self.names[-1] += data


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
  """A run on images with such labels and names, and new images to predict."""
  folder = tmp_path_factory.mktemp("names")
  photos, new = folder / "photos", folder / "new"
  photos.mkdir()
  new.mkdir()
  rng = np.random.default_rng(0)
  with (photos / "labels.csv").open("w", newline="") as file:
    rows = csv.writer(file)
    rows.writerow(["path", *LABELS])
    for i in range(48):
      name = f"{i} {FILES[i % len(FILES)]}"
      pixels = rng.integers(0, 256, (36, 40, 3), np.uint8)
      Image.fromarray(pixels).save(photos / name)
      rows.writerow([name, *(int(i >> n & 1) for n in range(len(LABELS)))])
  for name in FILES:
    Image.fromarray(rng.integers(0, 256, (50, 70, 3), np.uint8)).save(
      new / name
    )
  words = ["--config=configs/folder.py", *SMALLER["folder"]]
  words.append(f"--config.data.manual_dir={photos}")
  started = processes.start(folder / "run", folder / "data", words, base=())
  processes.finish(started)
  return folder / "run", new, folder


def ask(mode, run, new, output):
  use.use(str(run), mode, Request(str(new), str(output)))
  return output


@pytest.mark.slow
def test_every_output_shows_names_as_text(folders):
  run, new, folder = folders
  paths = {str(new / name) for name in FILES}

  lines = ask("predict", run, new, folder / "out.jsonl").read_text("utf-8")
  rows = [json.loads(line) for line in lines.split("\n")[:-1]]
  assert {row["image"] for row in rows} == paths
  assert all({e["label"] for e in r["labels"]} == set(LABELS) for r in rows)

  with ask("predict", run, new, folder / "out.csv").open(newline="") as file:
    table = list(csv.DictReader(file))
  assert {(row["image"], row["label"]) for row in table} == {
    (path, label) for path in paths for label in LABELS
  }

  explained = ask("explain", run, new, folder / "explained")
  assert len(list(explained.glob("*.png"))) == len(FILES)
  told = [json.loads(path.read_text()) for path in explained.glob("*.json")]
  assert {each["image"] for each in told} == paths
  for path in explained.glob("*.png"):
    with Image.open(path) as image:
      image.load()
      assert min(image.size) > 100

  page = Page((run / "report" / "index.html").read_text("utf-8"))
  assert page.live == ["script"]  # its own
  assert set(LABELS) <= set(page.names)
  shown = [name for name in page.names if name.endswith(".png")]
  assert shown
  assert all(any(own in name for own in FILES) for name in shown)

  card = (run / "model_card.md").read_text("utf-8")
  assert "<script>" not in card
  assert "日本語" in card
