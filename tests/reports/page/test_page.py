"""The page as a parser sees it: names are text, and nothing is loaded."""

import html.parser
import json

import pytest

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.inference.request import Request
from causal_mlr_jax.reports.page import write_page
from causal_mlr_jax.uses import use
from tests.reports.page import made_up


class Elements(html.parser.HTMLParser):
  """The elements of a page, its text, and what it would load."""

  def __init__(self, text):
    super().__init__()
    self.tags, self.ids, self.loads, self.text, self.names = [], [], [], "", []
    self._inside = []
    self.feed(text)

  def handle_starttag(self, tag, attrs):
    attrs = dict(attrs)
    self.tags.append(tag)
    self.ids += [attrs["id"]] if "id" in attrs else []
    self.loads += [
      v for k, v in attrs.items() if k in ("src", "data", "srcset")
    ]
    if tag in ("link", "image", "use"):
      self.loads += [v for k, v in attrs.items() if k.endswith("href")]
    self._inside.append(attrs.get("class") if tag == "bdi" else None)
    if tag == "bdi":
      self.names.append("")
    if tag == "img":
      assert attrs["alt"]

  def handle_data(self, data):
    self.text += data
    if self.names and self.get_starttag_text().startswith("<bdi"):
      self.names[-1] += data


@pytest.fixture(scope="module")
def page(tmp_path_factory):
  folder = tmp_path_factory.mktemp("run")
  made_up.write(folder)
  return write_page.write(folder).read_text()


def test_names_are_shown_as_text(page):
  found = Elements(page)
  assert found.tags.count("script") == 1
  assert "alert(1)</script>" in found.text
  for name in made_up.HOSTILE:
    assert name in found.names, name
  assert "--config='<b>.py'" in found.text


def test_nothing_is_asked_of_a_network(page):
  found = Elements(page)
  assert found.loads
  assert all(load.startswith(("data:", "#")) for load in found.loads)
  assert "default-src 'none'" in page
  assert "@import" not in page


def test_every_id_is_its_own(page):
  ids = Elements(page).ids
  assert len(set(ids)) == len(ids)
  assert "NaN" not in Elements(page).text.partition("use strict")[0]


def test_reliance_on_context_is_shown(page):
  text = Elements(page).text
  section = text[text.index("The same objects were drawn") :]
  for words in ("4,321 images", "0.625", "Companion drop", "0.125"):
    assert words in section
  # The widest first.
  names = [made_up.HOSTILE[n] for n in (5, 4, 3)]
  places = [section.index(name) for name in names]
  assert places == sorted(places)


def test_a_large_run_stays_small(tmp_path):
  made_up.write(tmp_path, labels=171, pairs=171 - 1, confounders=60)
  size = write_page.write(tmp_path).stat().st_size
  assert 1e6 < size < 20e6, f"{size:,} bytes"


def test_an_older_run_says_what_to_do(tmp_path):
  made_up.write(tmp_path, effects=False)
  (tmp_path / "report" / "page_data.json").unlink()
  (tmp_path / "thresholds.json").unlink()
  (tmp_path / "metrics.jsonl").unlink()
  text = Elements(write_page.write(tmp_path).read_text()).text
  for words in ("--mode=evaluate", "--mode=effects", "not saved with this run"):
    assert words in text
  assert "50.0" in text


def test_an_empty_report_of_a_folder(tmp_path):
  with pytest.raises(UserError, match=r"holds no report/report\.json"):
    write_page.write(tmp_path)
  assert not list(tmp_path.iterdir())


def test_a_damaged_file_is_named(tmp_path):
  made_up.write(tmp_path)
  (tmp_path / "report" / "page_data.json").write_text("{")
  with pytest.raises(UserError, match=r"page_data\.json is damaged"):
    write_page.write(tmp_path)
  assert not (tmp_path / "report" / "index.html").exists()


def test_a_run_has_its_page_and_the_mode_writes_it_again(causal_run, tmp_path):
  page = causal_run / "report" / "index.html"
  found = Elements(page.read_text())
  data = json.loads((page.parent / "page_data.json").read_text())
  assert found.tags.count("img") > 20
  assert "Waiting for images" in found.text
  assert len(data["confounders"]["cards"]) == 6
  assert data["attention"]
  assert all(len(each["labels"]) >= 1 for each in data["attention"])
  assert len(data["pairs"]) == 8
  # Without anything but the files of the page.
  for name in ("report/report.json", "report/page_data.json", "metrics.jsonl"):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes((causal_run / name).read_bytes())
  use.use(str(tmp_path), "report", Request())
  again = Elements((tmp_path / "report" / "index.html").read_text())
  assert again.tags.count("img") == found.tags.count("img")
