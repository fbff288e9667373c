"""Compares --mode=predict with the bare compiled forward pass.

The bare pass applies the model to one batch that lies on the device, as often
as the images have batches. Predicting reads, decodes and preprocesses the
files, applies the model, decides, and writes a line for each image. Both are
compiled before they are timed, have the same batch size and one device, and
take turns. The ratio is the median over the rounds of the bare seconds divided
by those of predicting, so 1 says that all the rest is free.

  python -m benchmarks.predict --workdir=RUN --images=PHOTOS

Prints one JSON line: `ratio`, and the images per second of both.
"""

from __future__ import annotations

import json
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Sequence

import jax
import numpy as np
from absl import app, flags, logging

from causal_mlr_jax.core import parallel
from causal_mlr_jax.inference import bundle as bundle_lib
from causal_mlr_jax.inference import prediction_files, trained_model
from causal_mlr_jax.inference.find_images import find_images

_WORKDIR = flags.DEFINE_string(
  "workdir", None, "the folder of a trained run", required=True
)
_IMAGES = flags.DEFINE_string(
  "images", None, "images, as of --mode=predict", required=True
)
_COUNT = flags.DEFINE_integer(
  "count", 2000, "number of images, repeated if few"
)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "rounds of both in turn")


class Bare:
  """The forward pass on a batch that lies on the device."""

  def __init__(self, bundle: bundle_lib.Bundle, image: np.ndarray):
    """Compiles the forward pass for a batch of images, uint8 [B, H, W, 3]."""
    self._arguments = jax.device_put(
      (
        bundle.variables,
        image,
        bundle.example_inputs(len(image)),
        dict(bundle.side),
      )
    )
    self._apply = jax.jit(trained_model.make_apply(bundle))
    self.seconds(1)

  def seconds(self, batches: int) -> float:
    """Returns the seconds of a number of batches."""
    start = time.perf_counter()
    for _ in range(batches):
      found = self._apply(*self._arguments)
    jax.block_until_ready(found)
    return time.perf_counter() - start


def predicting(
  model: trained_model.TrainedModel,
  images: Sequence[pathlib.Path],
  output: pathlib.Path,
) -> float:
  """Returns the seconds that predictions of images to a file take."""
  start = time.perf_counter()
  prediction_files.write_predictions(model, images, output)
  return time.perf_counter() - start


def measure(folder: pathlib.Path) -> dict[str, object]:
  """Returns the results to print; files are written to a folder."""
  bundle = bundle_lib.read_workdir(_WORKDIR.value)
  model = trained_model.TrainedModel(
    bundle, parallel.make_mesh(jax.devices()[:1])
  )
  found = find_images(_IMAGES.value)
  images = [found[i % len(found)] for i in range(_COUNT.value)]
  size = min(bundle.config.evaluate.batch_size, len(images))
  first = next(model.reader().batches(images[:size], size))["image"]
  bare = Bare(bundle, first)
  output = folder / "predictions.jsonl"
  predicting(model, images[:size], output)  # compiles
  rounds = []
  batches = -(-len(images) // size)
  for _ in range(_ROUNDS.value):
    rounds.append((bare.seconds(batches), predicting(model, images, output)))
  alone, whole = (
    statistics.median(column) for column in zip(*rounds, strict=True)
  )
  return {
    "benchmark": "predict",
    "device": jax.devices()[0].device_kind,
    "cores": len(os.sched_getaffinity(0)),
    "images": len(images),
    "batch": size,
    "ratio": statistics.median(a / b for a, b in rounds),
    "images_per_second": {
      "bare": round(batches * size / alone, 1),
      "predicting": round(len(images) / whole, 1),
    },
  }


def main(_: list[str]) -> None:
  """Runs the comparison and prints its JSON line."""
  logging.set_verbosity(logging.WARNING)
  with tempfile.TemporaryDirectory() as folder:
    print(json.dumps(measure(pathlib.Path(folder))))


if __name__ == "__main__":
  app.run(main)
