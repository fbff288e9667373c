"""The page in a browser: it sorts, searches, fits, and asks no network."""

import contextlib
import shutil

import pytest

from causal_mlr_jax.reports.page import write_page
from tests.reports.page import made_up

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser():
  """Chromium; without one the tests are skipped."""
  api = pytest.importorskip("playwright.sync_api", reason="no playwright")
  found = next(filter(None, map(shutil.which, PROGRAMS)), None)
  with contextlib.ExitStack() as held:
    try:
      play = held.enter_context(api.sync_playwright())
      launched = play.chromium.launch(
        executable_path=found, args=["--no-sandbox"]
      )
    except api.Error as error:
      pytest.skip(
        "no browser: install Debian's chromium, or run `python -m playwright "
        f"install chromium` ({str(error).splitlines()[0]})"
      )
    held.callback(launched.close)
    yield launched


@pytest.fixture(scope="module")
def address(tmp_path_factory):
  folder = tmp_path_factory.mktemp("run")
  made_up.write(folder)
  return write_page.write(folder).as_uri()


@pytest.fixture
def page(browser, address):
  """The page on a phone, without any error or request."""
  opened = browser.new_page(viewport={"width": 390, "height": 800})
  asked, said = [], []
  opened.on("request", lambda request: asked.append(request.url))
  opened.on("pageerror", lambda error: said.append(str(error)))
  opened.on("console", lambda message: said.append(message.text))
  opened.on("dialog", lambda dialog: said.append(dialog.message))
  opened.goto(address)
  yield opened
  assert [url for url in asked if not url.startswith("data:")] == [address]
  assert not said
  opened.close()


def column(page, place):
  cells = page.locator(f"#labels-1 tbody tr td:nth-child({place})")
  return [cell.get_attribute("data-value") for cell in cells.all()]


def test_columns_are_sorted_from_the_keyboard(page):
  head = page.locator("#labels-1 thead th:nth-child(3)")
  assert head.get_attribute("aria-sort") == "none"
  head.get_by_role("button").focus()
  for key, order, reverse in (
    ("Enter", "descending", True),
    ("Space", "ascending", False),
  ):
    page.keyboard.press(key)
    assert head.get_attribute("aria-sort") == order
    values = column(page, 3)
    assert values[-1] == ""  # what is not known stands last
    known = [float(value) for value in values[:-1]]
    assert known == sorted(known, reverse=reverse)
  page.locator("#labels-1 thead th:nth-child(1) button").click()
  assert head.get_attribute("aria-sort") == "none"
  counts = [float(value) for value in column(page, 2)]
  assert counts[6:] == sorted(counts[6:]) or counts != sorted(counts)


def test_labels_are_searched(page):
  field = page.get_by_label("Search labels")
  rows = page.locator("#labels-1 tbody tr:visible")
  for text, count in (("日本", 1), ("<SCRIPT>", 1), ("label 0", 6), ("", 12)):
    field.fill(text)
    assert rows.count() == count
    assert page.locator("#labels-1-count").inner_text() == f"{count} of 12"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_cut_off(page, scheme, width):
  page.emulate_media(color_scheme=scheme)
  page.set_viewport_size({"width": width, "height": 800})
  page.evaluate("document.querySelectorAll('details').forEach(d => d.open = 1)")
  assert page.evaluate("document.documentElement.scrollWidth") <= width
  # What is wider than the page can be scrolled by itself.
  outside = page.evaluate(
    """() => [...document.querySelectorAll('main *')].filter(e =>
      e.getBoundingClientRect().right > innerWidth + 1 &&
      !e.closest('.scroll, .wide')).map(e => e.outerHTML.slice(0, 80))"""
  )
  assert not outside
  broken = "[...document.images].filter(i => !i.naturalWidth).length"
  assert page.evaluate(broken) == 0
  paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
  dark = max(map(int, paper[4:-1].split(","))) < 64
  assert dark == (scheme == "dark")


def test_what_is_folded_is_printed(page):
  page.emulate_media(media="print")
  page.evaluate("dispatchEvent(new Event('beforeprint'))")
  assert page.locator("details:not([open])").count() == 0
  assert page.locator("nav").is_hidden()
