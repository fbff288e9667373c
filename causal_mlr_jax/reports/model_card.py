"""The model card: what a trained model is, how good, and on what terms.

After Mitchell et al., "Model Cards for Model Reporting", FAT* 2019
(arXiv:1810.03993). It is made of the files of a run alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from causal_mlr_jax.evaluation.exclusive_cooccur import FEW_POSITIVES
from causal_mlr_jax.reports import licences
from causal_mlr_jax.reports.markdown import table, text
from causal_mlr_jax.training.model import find_method

# Metrics that are shown beside the mean average precisions.
AT_ONE_THRESHOLD = ("cf1", "of1", "calibration_error")
ABSENT = {"ap": None, "positives": 0}
COMMANDS = """\
```
python -m causal_mlr_jax.main --mode=predict --workdir=RUN --images=PHOTOS
python -m causal_mlr_jax.main --mode=explain --workdir=RUN --images=PHOTOS
```"""


class Facts(NamedTuple):
  """What the files of a run say.

  Attributes:
    config: The configuration, config.json.
    data: The data's fingerprint and labels, data.json.
    report: report.json; empty where the run was not evaluated.
    decisions: thresholds.json; empty where there is none.
    started_from: Where the initial parameters came from, by part.
  """

  config: Mapping[str, Any]
  data: Mapping[str, Any]
  report: Mapping[str, Any]
  decisions: Mapping[str, Any]
  started_from: Mapping[str, Any]

  @property
  def splits(self) -> Mapping[str, Mapping[str, Any]]:
    """The metrics of each split."""
    return self.report.get("metrics", {})


def make(facts: Facts) -> str:
  """Returns a model card, Markdown."""
  name, data = facts.config["method"]["name"], facts.config["data"]["name"]
  count = len(facts.data["labels"])
  sections = {
    "Model": _model(facts),
    "Data": _data(facts),
    "Metrics": _metrics(facts),
    "Biased pairs": _pairs(facts),
    "Labels": _labels(facts),
    "Limits": "\n".join(f"- {limit}" for limit in _limits(facts)),
    "Use": COMMANDS,
    "Licences": _facts(licences.of_run(facts.config)),
  }
  return "\n\n".join(
    [
      f"# Model card: {text(name)} on {text(data)}",
      f"It says of an image how probable each of {count} labels is.",
      *(f"## {title}\n\n{body}" for title, body in sections.items()),
      "",
    ]
  )


def _facts(rows: Mapping[str, object]) -> str:
  """Returns a table of two columns, without what is empty."""
  filled = ((k, text(v)) for k, v in rows.items() if v not in ("", None))
  return table(["", ""], filled)


def _model(facts: Facts) -> str:
  config, report = facts.config, facts.report
  method = config["method"]["name"]
  paper = (inspect.getdoc(find_method(method)) or "").partition("\n")[0]
  shape = facts.data.get("image_shape")
  step = report.get("step", facts.decisions.get("step"))
  total = f" of {report['steps']}" if report else ""
  return _facts(
    {
      "method": f"{method}: {paper}",
      "backbone": config["backbone"]["name"],
      **{f"{k} began from": v for k, v in facts.started_from.items()},
      "checkpoint": "" if step is None else f"step {step}{total}",
      "images": f"{shape[0]} x {shape[1]} pixels" if shape else "",
      "preprocessing": config["data"]["preprocess_evaluate"],
      "seed": config["seed"],
      "made with": ", ".join(
        f"{k} {v}" for k, v in report.get("versions", {}).items()
      ),
    }
  )


def _data(facts: Facts) -> str:
  section = facts.config["data"]
  return _facts(
    {
      "data set": section["name"],
      "variant": section.get("variant", ""),
      "fingerprint": facts.data["fingerprint"],
      "trained on": section["train_split"],
      "chosen and tuned on": section["validation_split"],
      "tested on": ", ".join(facts.splits or section["test_splits"]),
      **facts.report.get("side_inputs", {}),
    }
  )


def _metrics(facts: Facts) -> str:
  if not facts.splits:
    return "The model was not evaluated yet; --mode=evaluate does it."
  head = ["split", "images", "Exclusive mAP", "Co-occur mAP", "mAP"]
  head += ["CF1", "OF1", "calibration error"]
  rows = []
  for split, found in facts.splits.items():
    errors = found.get("standard_error", {})
    rows.append(
      [
        text(split),
        f"{found['images']:,}",
        *(
          _percent(found[f"{key}_map"], errors.get(key))
          for key in ("exclusive", "cooccur", "all")
        ),
        *(_percent(found.get(key)) for key in AT_ONE_THRESHOLD),
      ]
    )
  return table(head, rows) + (
    "\n\nIn %; ± is the standard error over images. Exclusive and Co-occur are "
    "of biased labels, without and with their context; CF1 and OF1 are at "
    "probability 0.5; the calibration error is the expected one."
  )


def _percent(value: float | None, error: float | None = None) -> str:
  if value is None:
    return "-"
  return f"{value:.1f}" + ("" if error is None else f" ± {error:.1f}")


def _pairs(facts: Facts) -> str:
  rows = [
    [
      text(split),
      text(pair["label"]),
      text(pair["context"]),
      _percent(pair["exclusive_ap"]),
      f"{pair['exclusive_positives']:,}",
      _percent(pair["cooccur_ap"]),
      f"{pair['cooccur_positives']:,}",
    ]
    for split, found in facts.splits.items()
    for pair in found["per_pair"].values()
  ]
  if not rows:
    return "None were measured."
  head = ["split", "label", "context", "AP without context", "images"]
  return table([*head, "AP with context", "images"], rows)


def _labels(facts: Facts) -> str:
  splits, tuned = facts.splits, facts.decisions.get("labels", {})
  head = ["label", *(f"AP on {text(s)}" for s in splits)]
  head += [f"images in {text(s)}" for s in splits]
  head += ["threshold", "F1"] if tuned else []
  rows = []
  for name in facts.data["labels"]:
    # Another data set to test on may have a part of the labels.
    own = [x["per_label"].get(name, ABSENT) for x in splits.values()]
    row = [text(name), *(_percent(x["ap"]) for x in own)]
    row += [f"{x['positives']:,}" for x in own]
    if tuned:
      f1 = tuned[name]["f1"]
      row += [f"{tuned[name]['threshold']:.2f}"]
      row += [_percent(None if f1 is None else 100 * f1)]
    rows.append(row)
  if not tuned:
    return table(head, rows)
  return table(head, rows) + (
    "\n\nA label is predicted from its threshold on, the one with the largest "
    f"F1 on {text(facts.decisions['split'])}, in %. The temperature is "
    f"{facts.decisions['temperature']:.2f}; --calibrated divides logits by it."
  )


def _limits(facts: Facts) -> Iterator[str]:
  yield (
    "The model knows its labels alone, and says nothing of what else is in an "
    "image."
  )
  yield (
    "The metrics are those of images like the tested ones. Of other places, "
    "cameras or times, expect less."
  )
  for split, found in facts.splits.items():
    exclusive, together = found["exclusive_map"], found["cooccur_map"]
    if exclusive is not None and together is not None:
      yield (
        f"On {text(split)}, biased labels have a mAP of {exclusive:.1f} % "
        f"without their context and of {together:.1f} % with it."
      )
    if found["skipped_labels"]:
      names = ", ".join(map(text, found["skipped_labels"]))
      yield f"No image of {text(split)} has {names}: untested."
    if found["warnings"]:
      count = len(found["warnings"])
      yield f"report.json has {count} warning(s) on {text(split)}."
  if _looked_at_tests(facts.config):
    yield (
      "The confounders were made of images that are tested on too, though not "
      "of their labels."
    )
  if not any(found["per_pair"] for found in facts.splits.values()):
    yield "Which labels lean on a context was not measured."
  tuned = facts.decisions.get("labels", {})
  few = sum(row["positives"] < FEW_POSITIVES for row in tuned.values())
  if few:
    yield (
      f"The thresholds of {few} label(s) were tuned on fewer than "
      f"{FEW_POSITIVES} images with the label, and are uncertain."
    )
  yield "Probabilities are not calibrated unless it is asked for."
  yield "Maps and effects show what the model does, not what causes what."


def _looked_at_tests(config: Mapping[str, Any]) -> bool:
  needs = find_method(config["method"]["name"]).NEEDS
  return "confounders" in needs and config["confounders"]["data"] != "source"
