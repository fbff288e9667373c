"""Writes the table as Markdown, CSV, JSON and a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from causal_mlr_jax.core import atomic_files, locks
from causal_mlr_jax.reports.summary import TITLES
from causal_mlr_jax.sweep import plots
from causal_mlr_jax.sweep import results as results_lib
from causal_mlr_jax.sweep.aggregate import Part, name_of
from causal_mlr_jax.sweep.plan import Plan
from causal_mlr_jax.sweep.results import Results

STATISTICS = ["mean", "half_width", "seeds", "difference", "p_value"]
SCORES_COLUMNS = ["row", "split", "metric", *STATISTICS, "paper", "note"]
EFFECTS_COLUMNS = ["row", "source", "metric", *STATISTICS, "note"]
SCORES = """\
`{config}`, {metric} in %, seeds {seeds}: mean ± half of the 95% t-interval
over seeds. Differences are over the seeds that both rows have, with the
p-value of a paired two-sided t-test, not corrected for their number."""
EFFECTS = """\
`{config}`, images of `{split}`, seeds {seeds}: mean ± half of the 95%
t-interval over seeds. Differences are over the seeds that both lines have, with
the p-value of a paired two-sided t-test, not corrected for their number."""
# What each part on effects shows, and what is said where it is left out.
PARTS_OF_EFFECTS = {
  "recovery": (
    """\
**Which effects recover the true causal edges.** AUROC and AP (average
precision) are of the edges against the pairs without an effect, \\* against the
biased pairs alone; direction is the part of the edges that exceed their
reverse, rank the correlation with the true effects. Effects are model-based
intervention scores, not identified causal effects. Those of the training
labels are counts, the same for every run, and have no interval.""",
    """\
The data set's causal model is not known, so there is nothing to compare
effects with; the strongest ones are in each run's `effects/effects.json`.""",
  ),
  "reliance": (
    """\
**What scores lean on.** Mean loss of score of the same objects in another
context, and the part of the images without an object where it is seen.""",
    """\
The images of this data set cannot be drawn anew, so how scores lean on context
is left out.""",
  ),
}


def write(plan: Plan) -> None:
  """Writes the table of what is there now, in all its forms.

  One process at a time: the last one to write has seen all runs.
  """
  stem = plan.folder / f"table_{plan.name}"
  with locks.held(stem.with_suffix(".lock"), f"writes {stem.name}"):
    found = results_lib.read(plan)
    for ending, text in (("md", markdown(found)), ("csv", csv_text(found))):
      with atomic_files.replacing(stem.with_suffix(f".{ending}")) as file:
        file.write(text.encode())
    atomic_files.write_json(stem.with_suffix(".json"), found.document)
    plots.write(found, stem.with_suffix(".png"))


def csv_text(results: Results) -> str:
  """Returns a table as CSV: a line for each cell."""
  cells, rows = results.cells, results.document["rows"]
  columns = EFFECTS_COLUMNS
  if not results.of_effects:
    columns = SCORES_COLUMNS
    order = pd.DataFrame({"row": [row["name"] for row in rows]})
    # A row without any number has an empty line.
    cells = order.merge(cells.rename(columns={"part": "split"}), how="left")
    cells = cells.fillna({"seeds": 0}).astype({"seeds": int})
  notes = {row["name"]: "; ".join(problems(row)) for row in rows}
  cells = cells.assign(note=cells["row"].map(notes))
  return cells.to_csv(columns=columns, index=False, lineterminator="\n")


def markdown(results: Results) -> str:
  """Returns a table as Markdown: its parts, then what is missing."""
  document, parts = results.document, {p.name: p for p in results.parts}
  source = document.get("source")
  head = EFFECTS if results.of_effects else SCORES
  paragraphs = [
    f"# {document['title']}" + (f" ({source} of the paper)" if source else ""),
    head.format(
      config=document["config"],
      metric=TITLES.get(document.get("metric", "")),
      split=document.get("split") or "-",
      seeds=", ".join(map(str, document["seeds"])) or "none",
    ),
    document["note"],
  ]
  for name in PARTS_OF_EFFECTS if results.of_effects else parts:
    text, left_out = PARTS_OF_EFFECTS.get(name, ("", ""))
    there = name in parts
    paragraphs += (
      [text, *_tables(results, parts[name])] if there else [left_out]
    )
  missing = [
    f"- {row['name']}: {problem}"
    for row in document["rows"]
    for problem in problems(row)
  ]
  paragraphs += ["Not finished:", "\n".join(missing)] if missing else []
  return "\n\n".join(filter(None, paragraphs)) + "\n"


def _tables(results: Results, part: Part) -> list[str]:
  """Returns the means of a part and, of several lines, their differences."""
  cells = results.cells[results.cells["part"] == part.name]
  label = "" if results.of_effects else f"`{part.name}`"
  digits = ".3f" if results.of_effects else ".1f"

  def shown(column: str, form: str) -> pd.Series:
    known = cells[column].map(f"{{:{form}}}".format, na_action="ignore")
    return known.astype("string")

  def pivot(texts: pd.Series) -> pd.DataFrame:
    wide = cells.assign(text=texts.fillna("-")).pivot(
      index="line", columns="metric", values="text"
    )
    titles = {key: t.replace("*", "\\*") for key, t in part.columns.items()}
    return wide.loc[cells["line"].unique(), [*titles]].rename(columns=titles)

  intervals = (" ± " + shown("half_width", digits)).fillna("")
  means = pivot(shown("mean", f"z{digits}") + intervals)
  if cells["paper"].notna().any():
    paper = pivot(shown("paper", digits)).add_prefix("paper: ")
    means = means.join(paper)
  done = {row["name"]: _seeds(row) for row in results.document["rows"]}
  means["seeds"] = [done.get(row, "-") for row, _ in part.lines]
  if len(means) == 1:
    return [_table(label, means)]
  p_values = (" (p = " + shown("p_value", ".2g") + ")").fillna("")
  differences = pivot(shown("difference", f"+z{digits}") + p_values)
  reference = name_of(part.reference)
  compared = ", ".join(filter(None, [label, f"difference to {reference}"]))
  return [
    _table(label, means),
    _table(compared, differences.drop(reference)),
  ]


def _table(label: str, texts: pd.DataFrame) -> str:
  """Returns a table of Markdown with the names of lines under a label."""
  lines = [
    [label, *texts.columns],
    ["---", *["---:"] * len(texts.columns)],
    *texts.itertuples(),
  ]
  return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _seeds(row: Mapping[str, Any]) -> str:
  """Returns how many runs are done, and of how many if not of all."""
  if row["note"]:
    return row["note"]
  states = [run["state"] for run in row["runs"].values()]
  done, failed = states.count("done"), states.count("failed")
  said = str(done) if done == len(states) else f"{done} of {len(states)}"
  return f"{said}, {failed} failed" if failed else said


def problems(row: Mapping[str, Any]) -> list[str]:
  """Returns what stands in the way of a row, one line a cause."""
  if row["note"]:
    return [row["note"]]
  lines = [
    f"seed {seed} failed, {run['reason']}"
    for seed, run in row["runs"].items()
    if run["state"] == "failed"
  ]
  absent = [s for s, run in row["runs"].items() if run["state"] == "missing"]
  return lines + ([f"not run yet: seed {', '.join(absent)}"] if absent else [])
