"""Puts the page of a run together."""

from __future__ import annotations

import pathlib
from typing import Any

import jinja2
import markupsafe

from causal_mlr_jax.core import atomic_files
from causal_mlr_jax.reports.page import run_files, sections

TEMPLATE, DASH = "page.html", "\u2013"


def write(folder: pathlib.Path) -> pathlib.Path:
  """Writes report/index.html of a run and returns its path.

  Args:
    folder: Folder of the run; nothing else is read.

  Raises:
    UserError: There is no report, or a file of the run is damaged.
  """
  text = render(run_files.read(folder))
  path = folder / "report" / run_files.PAGE
  with atomic_files.replacing(path) as file:
    file.write(text.encode())
  return path


def render(files: run_files.RunFiles) -> str:
  """Returns the page as HTML, with all that it needs inside.

  Args:
    files: The files of the run.
  """
  # Names of labels and files are shown as they are: everything is escaped but
  # what is marked below, which this package made.
  environment = jinja2.Environment(
    loader=jinja2.PackageLoader("causal_mlr_jax.reports.page", "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  environment.filters.update(number=number, svg=markupsafe.Markup)
  environment.globals["part"] = lambda name: _own(environment, name)
  return environment.get_template(TEMPLATE).render(sections.context(files))


def _own(environment: jinja2.Environment, name: str) -> markupsafe.Markup:
  """Returns a file of the templates' folder as it is: its style, its script."""
  assert environment.loader is not None
  return markupsafe.Markup(environment.loader.get_source(environment, name)[0])


def number(value: Any, digits: int = 1) -> str:
  """Returns a number with so many digits after the point; a dash for None."""
  return DASH if value is None else f"{value:,.{digits}f}"
