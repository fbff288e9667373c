"""Compares methods on a configuration, several seeds each, equal budget.

  python -m benchmarks.methods --workdir=DIR

Each run is a process of `causal_mlr_jax.main` in a folder of its own under
the workdir; runs that are finished are not run again, and an interrupted one
goes on. Prints a Markdown table of means with 95% t-intervals over seeds, and
one JSON line with all values.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

from absl import app, flags

from causal_mlr_jax.evaluation.bootstrap import mean_interval

METRICS = {
  "Exclusive": "exclusive_map",
  "Co-occur": "cooccur_map",
  "All": "all_map",
}

_CONFIG = flags.DEFINE_string(
  "config", "configs/context_emoji.py", "The configuration's file."
)
_METHODS = flags.DEFINE_list("methods", ["baseline", "q2l", "causal"], "Rows.")
_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Of training.")
_WORKDIR = flags.DEFINE_string("workdir", "workdir/methods", "For all runs.")
_DATA_DIR = flags.DEFINE_string("data_dir", "data_dir", "Of prepared data.")


def report_of(method: str, seed: str) -> dict:
  """Runs one training unless its report is there, and returns the report."""
  folder = pathlib.Path(_WORKDIR.value, f"{method}-{seed}")
  path = folder / "report" / "report.json"
  if not path.exists():
    subprocess.run(
      [
        sys.executable,
        "-m",
        "causal_mlr_jax.main",
        f"--config={_CONFIG.value}:{method}",
        f"--config.seed={seed}",
        f"--config.data.dir={_DATA_DIR.value}",
        f"--workdir={folder}",
      ],
      check=True,
      stdout=subprocess.DEVNULL,
    )
  return json.loads(path.read_text())


def table(rows: dict[str, list[dict]], split: str) -> str:
  """Returns a Markdown table of one split.

  Args:
    rows: reports by method.
    split: a test split.
  """
  lines = [f"| `{split}` | {' | '.join(METRICS)} |", "|---|---|---|---|"]
  for method, reports in rows.items():
    cells = []
    for key in METRICS.values():
      values = [report["metrics"][split][key] for report in reports]
      interval = mean_interval(values)
      cells.append(f"{interval.mean:.1f} ± {interval.half_width:.1f}")
    lines.append(f"| {method} | {' | '.join(cells)} |")
  return "\n".join(lines)


def main(_: list[str]) -> None:
  """Runs what is missing, prints the tables and the JSON line."""
  rows = {
    method: [report_of(method, seed) for seed in _SEEDS.value]
    for method in _METHODS.value
  }
  first = next(iter(rows.values()))[0]
  for split in first["metrics"]:
    print(table(rows, split), end="\n\n")
  values = {
    method: {
      split: {
        key: [report["metrics"][split][key] for report in reports]
        for key in METRICS.values()
      }
      for split in first["metrics"]
    }
    for method, reports in rows.items()
  }
  seconds = {
    method: [sum(report["seconds"].values()) for report in reports]
    for method, reports in rows.items()
  }
  result = {"benchmark": "methods", "seeds": _SEEDS.value, "values": values}
  print(json.dumps(result | {"seconds": seconds}))


if __name__ == "__main__":
  app.run(main)
