"""A made-up run with names that a page must show as text."""

import json

import numpy as np

from causal_mlr_jax.reports.page import thumbnails

HOSTILE = (
  "<script>alert(1)</script>",
  "quo\"te's & co",
  "two\nlines",
  "日本語 العربية",
  "🐈 cat, $x_1$",
  "{{ 7 * 7 }}",
)


def picture(rng, side=160):
  """An image that no codec makes small."""
  noise = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
  return thumbnails.encode(noise)


def labels_of(count):
  """Names of labels, the hostile ones first."""
  return [*HOSTILE, *(f"label {n:03}" for n in range(count))][:count]


def metrics(labels, rng, pairs):
  """Metrics of a split as report.json has them."""
  per_label = {
    name: {"ap": float(rng.uniform(0, 100)), "positives": 3 * n}
    for n, name in enumerate(labels)
  }
  per_label[labels[-1]]["ap"] = None
  per_pair = {
    f"{labels[n]} <- {labels[n + 1]}": {
      "label": labels[n],
      "context": labels[n + 1],
      "exclusive_ap": float(10 * n),
      "cooccur_ap": 60.0,
      "exclusive_positives": n,
      "cooccur_positives": 40,
    }
    for n in range(pairs)
  }
  means = {f"{k}_map": 50.0 for k in ("all", "exclusive", "cooccur")}
  errors = {"standard_error": {"all": 1.25, "exclusive": 2.5, "cooccur": None}}
  return (
    means
    | errors
    | {
      "images": 40_000,
      "top3_recall": {"all": 12.5},
      "of1": 40.0,
      "cf1": None,
      "calibration_error": 3.0,
      "per_label": per_label,
      "per_pair": per_pair,
      "warnings": [f"few images of {labels[0]}"],
    }
  )


def page_data(labels, rng, pairs, confounders):
  """What a stage saves of the data, as large as it may be."""

  def wrong(n):
    return {
      "name": f"{HOSTILE[n % len(HOSTILE)]}.jpg",
      "image": picture(rng),
      "label": labels[n],
      "score": 0.75,
      "threshold": 0.5,
      "wrongly": bool(n % 2),
      "true": list(labels[:3]),
    }

  return {
    "command": "python -m causal_mlr_jax.main --config='<b>.py'",
    "written": "2026-01-01 00:00 UTC",
    "split": "test",
    "calibration": dict.fromkeys(labels, 5.0),
    "pairs": [
      {"label": labels[n], "context": labels[n + 1]}
      | {kind: [wrong(i) for i in range(4)] for kind in ("missed", "false")}
      for n in range(pairs)
    ],
    "errors": [wrong(n % len(labels)) for n in range(12)],
    "attention": [
      {
        "name": HOSTILE[n],
        "image": picture(rng),
        "labels": [
          {"name": name, "score": 0.5, "true": True, "image": picture(rng)}
          for name in labels[:4]
        ],
      }
      for n in range(6)
    ],
    "confounders": {
      "number": confounders + 1,
      "searched": 500,
      "cards": [
        {
          "index": k + 1,
          "share": 1 / confounders,
          "patches": [
            {"name": HOSTILE[n], "image": picture(rng), "distance": 1.0}
            | {"left": 25.0, "top": 50.0, "width": 12.5, "height": 12.5}
            for n in range(4)
          ],
          "labels": [{"name": name, "ratio": 2.0} for name in labels[:5]],
        }
        for k in range(confounders)
      ],
    },
  }


def config():
  """The parts of a configuration that a page reads."""
  return {
    "method": {"name": "causal"},
    "backbone": {"name": "resnet", "pretrained": ""},
    "data": {"name": "folder"},
    "train": {"learning_rate": 0.1, "schedule": "constant", "warmup": 0.0},
  }


def write(folder, *, labels=12, pairs=3, confounders=2, effects=True):
  """Writes the files of a run; without page_data.json where pairs are None."""
  rng, names = np.random.default_rng(0), labels_of(labels)
  report = {
    "metrics": {"test": metrics(names, rng, pairs)},
    "seconds": {"training": 61.0},
    "config": config(),
    "seed": 0,
    "step": 90,
    "steps": 100,
    "data": "0123",
    "started_from": {"backbone": "random"},
    "versions": {"jax": "1"},
  }
  log = [{"step": 10 * n, "loss": 1 / n} for n in range(1, 11)]
  log.append({"step": 100, "validation": 50.0})
  (folder / "report").mkdir(parents=True)
  (folder / "report" / "report.json").write_text(json.dumps(report))
  lines = [json.dumps(row) for row in log]
  (folder / "metrics.jsonl").write_text("\n".join([*lines, '{"step": 11']))
  data = page_data(names, rng, min(pairs, 20), confounders)
  (folder / "report" / "page_data.json").write_text(json.dumps(data))
  known = {name: {"threshold": 0.25} for name in names}
  decisions = {"temperature": 1.5, "labels": known}
  (folder / "thresholds.json").write_text(json.dumps(decisions))
  if effects:
    write_effects(folder / "effects", names, rng)


def reliance(names):
  """How scores lean on context, as effects.json has it; one is not known."""
  each = {
    name: {"value": n / len(names), "images": n} for n, name in enumerate(names)
  }
  each[names[-1]] = {"value": None, "images": 0}
  found = {"mean": 0.125, "each": each}
  pairs = {f"{names[0]} <- {names[1]}": {"value": 0.625, "images": 7}}
  return {
    "images": 4321,
    "scene_drop": found,
    "companion_drop": {"mean": 0.625, "each": pairs},
    "home_false_positive_rate": found,
    "elsewhere_false_positive_rate": found,
  }


def write_effects(folder, names, rng):
  """Writes the files of --mode=effects."""
  folder.mkdir()
  size = (len(names), len(names))
  arrays = {
    key: rng.uniform(-1, 1, size)
    for key in ("training_labels", "scores", "causal_head", "truth")
  }
  arrays["training_labels"][0] = np.nan
  np.savez(folder / "effects.npz", labels=np.array(names), **arrays)
  recovery = dict.fromkeys(
    ("auroc", "ap", "spurious_auroc", "spurious_ap", "direction")
  )
  sources = {key: {"recovery": recovery} for key in ("scores", "causal_head")}
  found = {"split": "test", "sources": sources, "reliance": reliance(names)}
  (folder / "effects.json").write_text(json.dumps(found))
