"""Predictions of many images, written to a file as JSON lines or as CSV."""

from __future__ import annotations

import csv
import io
import json
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
from scipy import special

from causal_mlr_jax.core import atomic_files, progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data import read_options
from causal_mlr_jax.inference.bundle import DEFAULT_THRESHOLD
from causal_mlr_jax.inference.trained_model import Prediction, TrainedModel

FORMATS = (".jsonl", ".csv")
# Unreadable images that are named; the others are counted.
NAMED = 20


def check_output(path: str) -> pathlib.Path:
  """Returns the path of a file to write predictions to.

  Raises:
    UserError: It does not end with one of `FORMATS`.
  """
  found = pathlib.Path(path).expanduser()
  if found.suffix not in FORMATS:
    raise UserError(
      f"--output={path}: expected a file that ends with "
      f"{' or '.join(FORMATS)}; the ending says how it is written."
    )
  return found


def write_predictions(
  model: TrainedModel,
  images: Sequence[pathlib.Path],
  output: pathlib.Path,
  *,
  top_k: int = 0,
  calibrated: bool = False,
  reading: read_options.Reading = read_options.DEFAULT,
) -> int:
  """Predicts the labels of images and writes them, the likeliest label first.

  Each label has its `probability`, the `decision` whether it is predicted (its
  probability reaches its threshold), and the probability of each part of the
  method. A line of JSON is an image; a row of CSV is an image and a label.
  The file appears when it is complete. An image that cannot be read is named,
  counted and left out.

  Args:
    model: The trained model.
    images: Paths of the images.
    output: File to write, .jsonl or .csv.
    top_k: Number of labels to write for each image, decided to be its labels;
      0 for all, decided by thresholds.
    calibrated: Whether to divide logits by the model's temperature.
    reading: Threads and memory for reading.

  Returns:
    The number of images that could be read.

  Raises:
    UserError: No image could be read, or the file cannot be written.
  """
  reader = model.reader()
  batches = model.predict_batches(
    reader, list(images), calibrated=calibrated, reading=reading
  )
  decide = Decisions(model, top_k, calibrated)
  try:
    with atomic_files.replacing(output) as file:
      done = _write(file, output.suffix, images, batches, decide)
      if not done:
        raise UserError(unreadable(images, reader.problems))
  except OSError as error:
    raise UserError(
      f"--output={output} cannot be written: {error.strerror}."
    ) from error
  if reader.problems:
    progress.say(unreadable(images, reader.problems))
  return done


class Decisions:
  """Which labels are predicted: those above thresholds, or the k likeliest."""

  def __init__(
    self, model: TrainedModel, top_k: int = 0, calibrated: bool = False
  ):
    """Makes decisions for a model, see `write_predictions`."""
    self._labels, self._top_k = model.labels, min(top_k, len(model.labels))
    found = model.thresholds
    self.thresholds = (
      np.full(len(model.labels), DEFAULT_THRESHOLD) if found is None else found
    )
    if calibrated:
      # They were tuned without it, and calibration changes no decision.
      logits = special.logit(self.thresholds.astype(np.float64))
      self.thresholds = special.expit(logits / model.temperature)

  def rows(
    self, batch: Prediction
  ) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Iterates over images: their place, and a row a label, likeliest first."""
    for i, place in enumerate(batch.index):
      scores = batch.probabilities[i]
      order = np.argsort(-scores, kind="stable")
      if self._top_k:
        order = order[: self._top_k]
      yield (
        int(place),
        [
          {
            "label": self._labels[n],
            "probability": shortest(scores[n]),
            "decision": bool(self._top_k or scores[n] >= self.thresholds[n]),
          }
          | {name: shortest(part[i, n]) for name, part in batch.parts.items()}
          for n in order
        ],
      )


def _write(
  file: BinaryIO,
  ending: str,
  images: Sequence[pathlib.Path],
  batches: Iterable[Prediction],
  decide: Decisions,
) -> int:
  """Writes the lines of all images; returns how many could be read."""
  written = _json_line if ending == ".jsonl" else _csv_rows
  done = 0
  with progress.bar("predicting", len(images)) as bar:
    for batch in batches:
      for place, rows in decide.rows(batch):
        text = written(str(images[place]), rows, not done)
        # A name that is no UTF-8 keeps its bytes as escapes.
        file.write(text.encode(errors="backslashreplace"))
        done += 1
      bar.advance(len(batch.index))
  return done


def shortest(number: Any) -> float:
  """Returns a number with all the digits that float32 has."""
  return float(np.format_float_positional(np.float32(number), unique=True))


def _json_line(image: str, rows: list[dict[str, Any]], first: bool) -> str:
  del first
  line = json.dumps({"image": image, "labels": rows}, ensure_ascii=False)
  return line + "\n"


def _csv_rows(image: str, rows: list[dict[str, Any]], first: bool) -> str:
  text = io.StringIO()
  writer = csv.writer(text, lineterminator="\n")
  if first:
    writer.writerow(["image", *rows[0]])
  for row in rows:
    writer.writerow([image, *map(_cell, row.values())])
  return text.getvalue()


def _cell(value: Any) -> Any:
  return int(value) if isinstance(value, bool) else value


def unreadable(images: Sequence[pathlib.Path], problems: dict[int, str]) -> str:
  """Returns a message that names the images that could not be read.

  Args:
    images: All images.
    problems: Why an image could not be read, by its index.
  """
  lines = [f"  {problems[i]}" for i in sorted(problems)[:NAMED]]
  more = len(problems) - len(lines)
  return (
    f"{len(problems)} of {len(images)} image(s) cannot be read and were left "
    "out:\n" + "\n".join(lines + ([f"  and {more} more"] if more else []))
  )
