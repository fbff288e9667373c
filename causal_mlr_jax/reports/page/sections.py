"""The sections of a page as plain values, in the order in which they stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from causal_mlr_jax.reports.page import curves, label_graph
from causal_mlr_jax.reports.page import reliance as reliance_lib
from causal_mlr_jax.reports.page.run_files import RunFiles
from causal_mlr_jax.reports.summary import COLUMNS

# Of the table of results, by its key in the metrics of a split.
OTHERS = {
  "of1": "OF1",
  "cf1": "CF1",
  "calibration_error": "Calibration error",
}
TOP = "Top-3 recall"


def context(files: RunFiles) -> dict[str, Any]:
  """Returns everything that the template shows.

  Args:
    files: The files of the run.
  """
  report, data = files.report, files.data
  return {
    "title": f"{report['config']['method']['name']} on "
    f"{report['config']['data']['name']}",
    "name": files.path.name,
    "report": report,
    "data": data,
    "results": _results(report["metrics"]),
    "warnings": [
      (split, warning)
      for split, metrics in report["metrics"].items()
      for warning in metrics["warnings"]
    ],
    "facts": list(_facts(files)),
    "config": dict(_flat(report["config"])),
    "curves": curves.curves(files.log, files.speed, report),
    "labels": _labels(files),
    "pairs": _pairs(files),
    "graph": label_graph.section(files.matrices, files.effects),
    "reliance": reliance_lib.section((files.effects or {}).get("reliance")),
    "of_confounders": report["config"]["method"]["name"] == "causal",
  }


def _results(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
  rows = []
  for split, found in metrics.items():
    errors = found.get("standard_error", {})
    rows.append(
      {
        "split": split,
        "images": found["images"],
        "maps": {
          title: (found[f"{key}_map"], errors.get(key))
          for title, key in COLUMNS.items()
        },
        "others": {title: found.get(key) for key, title in OTHERS.items()}
        | {TOP: found["top3_recall"]["all"]},
      }
    )
  return rows


def _facts(files: RunFiles) -> Iterator[tuple[str, str]]:
  report, data = files.report, files.data
  if "command" in data:
    yield "Command", data["command"]
  if "written" in data:
    yield "Written", data["written"]
  config = report["config"]
  yield "Method", config["method"]["name"]
  backbone = config["backbone"]
  yield "Backbone", f"{backbone['name']} {backbone.get('pretrained', '')}"
  yield "Data", f"{config['data']['name']}, fingerprint {report['data']}"
  yield "Checkpoint", f"step {report['step']:,} of {report['steps']:,}"
  yield "Seed", str(report["seed"])
  if files.decisions is not None:
    yield "Temperature", f"{files.decisions['temperature']:.3g}"
  for part, origin in report["started_from"].items():
    yield f"Start of {part}", str(origin)
  times = {k: f"{v:,.0f} s" for k, v in report["seconds"].items()}
  yield "Time", ", ".join(f"{k} {v}" for k, v in times.items())
  yield "Versions", ", ".join(f"{k} {v}" for k, v in report["versions"].items())


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[Any]:
  """Iterates over the keys of a configuration, with their sections' names."""
  for key, value in config.items():
    if isinstance(value, Mapping) and value:
      yield from _flat(value, f"{prefix}{key}.")
    else:
      yield f"{prefix}{key}", value


def _labels(files: RunFiles) -> list[dict[str, Any]]:
  """Returns a table of labels for each split that has any."""
  tables = []
  for split, metrics in files.report["metrics"].items():
    leaning = _widest(metrics["per_pair"])
    of_data = files.data if files.data.get("split") == split else {}
    rows = [
      _label(name, row, leaning.get(name), files.decisions, of_data)
      for name, row in metrics["per_label"].items()
    ]
    if rows:
      tables.append({"split": split, "rows": rows})
  return tables


def _label(
  name: str,
  row: Mapping[str, Any],
  pair: Mapping[str, Any] | None,
  decisions: Mapping[str, Any] | None,
  data: Mapping[str, Any],
) -> dict[str, Any]:
  known = {} if decisions is None else decisions["labels"]
  pair = pair or {}
  return {
    "name": name,
    "count": row["positives"],
    "ap": row["ap"],
    "exclusive": pair.get("exclusive_ap"),
    "cooccur": pair.get("cooccur_ap"),
    "gap": gap(pair),
    "calibration": data.get("calibration", {}).get(name),
    "threshold": known.get(name, {}).get("threshold"),
  }


def _widest(pairs: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the pair of each label with the largest gap."""
  found: dict[str, Any] = {}
  for pair in pairs.values():
    label, width = pair["label"], gap(pair)
    seen = gap(found.get(label, {}))
    if label not in found or (width or -1e9) > (seen or -1e9):
      found[label] = pair
  return found


def gap(pair: Mapping[str, Any]) -> float | None:
  """Returns by how much the context raises a label's AP, if that is known."""
  ends = pair.get("cooccur_ap"), pair.get("exclusive_ap")
  return None if ends[0] is None or ends[1] is None else ends[0] - ends[1]


def _pairs(files: RunFiles) -> list[dict[str, Any]]:
  """Returns the biased pairs of each split, with the images that are known."""
  images = {
    (pair["label"], pair["context"]): pair
    for pair in files.data.get("pairs", ())
  }
  return [
    {
      "split": split,
      "rows": [pair | {"gap": gap(pair)} for pair in table.values()],
      "images": [
        images[pair["label"], pair["context"]]
        for pair in table.values()
        if (pair["label"], pair["context"]) in images
        and split == files.data.get("split")
      ],
    }
    for split, table in (
      (split, metrics["per_pair"])
      for split, metrics in files.report["metrics"].items()
    )
    if table
  ]
