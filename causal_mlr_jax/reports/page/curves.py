"""Curves of a training as inline SVG, which takes its colours from the page."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import ml_collections
import numpy as np
from matplotlib import style
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.training import optimizer

# A colour that nothing else has; it becomes that of the page's text.
INK, PAGE_COLOUR = "#010203", "currentColor"
# Of middle lightness, so that they can be seen on white and on black.
COLOURS = ("#3b82d6", "#e0812b", "#2b9f6b", "#b45fc9", "#a08030", "#d65a6a")
POINTS, SIZE = 400, (4.4, 2.7)


class Curve(NamedTuple):
  """A plot of the page.

  Attributes:
    title: What it shows.
    svg: The plot.
    text: The same in words: first and last value of every line.
  """

  title: str
  svg: str
  text: str


def curves(
  log: Sequence[Mapping[str, Any]],
  speed: Sequence[Mapping[str, Any]],
  report: Mapping[str, Any],
) -> list[Curve]:
  """Returns the plots of a training.

  Args:
    log: Lines of metrics.jsonl.
    speed: Lines of speed.jsonl.
    report: The report, for the schedule of the learning rate.
  """
  names = dict.fromkeys(name for row in log for name in row if name != "step")
  losses = [name for name in names if name.startswith("loss")]
  scores = [name for name in names if name.startswith("validation")]
  plots = {
    "Loss of the training images": _lines(log, losses),
    "Validation, mean AP in %": _lines(log, scores),
    "Learning rate": _learning_rate(report),
    "Norm of the gradient": _lines(log, ["grad_norm"]),
    "Images per second": _lines(speed, ["images_per_second"]),
    "Waiting for images, % of the time": _lines(speed, ["waiting_percent"]),
  }
  return [
    Curve(title, draw(title, lines), _in_words(lines))
    for title, lines in plots.items()
    if lines
  ]


Lines = dict[str, tuple[np.ndarray, np.ndarray]]


def _lines(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Lines:
  found = {}
  for name in names:
    points = [(row["step"], row[name]) for row in rows if name in row]
    if points:
      x, y = np.asarray(points, float).T
      found[name] = (x, y)
  return found


def _learning_rate(report: Mapping[str, Any]) -> Lines:
  """Returns the configured learning rate, which no log holds."""
  steps = int(report["steps"])
  try:
    section = ml_collections.ConfigDict(report["config"]["train"])
    schedule = optimizer.make_schedule(section, steps)
  except (AttributeError, KeyError, UserError):
    return {}  # of another version
  x = np.unique(np.linspace(0, steps - 1, POINTS // 2).round())
  y = np.asarray([np.asarray(schedule(step)) for step in x], float)
  return {"learning_rate": (x + 1, y)}


def draw(title: str, lines: Lines) -> str:
  """Returns a plot with the steps across, as SVG.

  Args:
    title: Title, which also makes the names in the SVG its own.
    lines: Steps and values by name.
  """
  with style.context("default"), matplotlib.rc_context(settings(title)):
    figure = Figure(SIZE, layout="constrained")
    FigureCanvasSVG(figure)
    ax = figure.subplots()
    for place, (name, (x, y)) in enumerate(lines.items()):
      thin = np.unique(np.linspace(0, len(x) - 1, POINTS).round().astype(int))
      colour = COLOURS[place % len(COLOURS)]
      mark = "o" if len(x) < 20 else ""
      label = name.replace("_", " ")
      ax.plot(x[thin], y[thin], colour, marker=mark, markersize=3, label=label)
    ax.set_xlabel("step")
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.grid(alpha=0.25)
    for side in ("top", "right"):
      ax.spines[side].set_visible(False)
    if len(lines) > 1:
      ax.legend(frameon=False, fontsize=8)
    return svg_of(figure)


def settings(salt: str) -> Any:
  """Returns the settings of a figure whose colours the page decides.

  Args:
    salt: Makes the names in the SVG differ from those of other figures.
  """
  inked = ("text", "axes.label", "xtick", "ytick")
  colours = {
    f"{name}color" if name.endswith("label") else f"{name}.color": INK
    for name in inked
  }
  return colours | {
    "axes.edgecolor": INK,
    "grid.color": INK,
    "legend.labelcolor": INK,
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": salt,
  }


def svg_of(figure: Figure) -> str:
  """Returns a figure as an SVG element for a page."""
  data = io.BytesIO()
  empty = dict.fromkeys(("Date", "Creator", "Format", "Type"))
  figure.savefig(data, format="svg", transparent=True, metadata=empty)
  text = data.getvalue().decode()
  text = text[text.index("<svg") :].replace(INK, PAGE_COLOUR)
  # Names of groups are the same in every figure, and nothing refers to them.
  text = re.sub(r'<g id="[^"]*"', "<g", text)
  return text.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)


def _in_words(lines: Lines) -> str:
  return "; ".join(
    f"{name.replace('_', ' ')}: {y[0]:.3g} at step {x[0]:.0f}, "
    f"{y[-1]:.3g} at step {x[-1]:.0f}"
    for name, (x, y) in lines.items()
  )
