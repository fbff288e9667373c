"""Compares the training preprocessing of every recipe with Pillow op by op.

The images are JPEG photographs of 640 x 480, from memory. The recipes are those
of `configs/recipes.py` as used in `configs/coco.py`; recipes with the same
preprocessing are timed once. Two programs take turns in short rounds on one
thread: ours, and the same ops by Pillow one at a time, as in published code.
Then ours is timed in the training pipeline, with one thread and with one per
core.

  python -m benchmarks.recipe_inputs

Prints one JSON line. For each preprocessing it has the methods that use it,
images per second of CPU time of one thread (`ours`, `pillow`; medians over the
rounds), their `ratio`, and `scaling`, the pipeline's rate with all threads
divided by that with one.
"""

from __future__ import annotations

import ast
import io
import itertools
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import cast

import numpy as np
from absl import app
from PIL import Image, ImageEnhance

from benchmarks.input_pipeline import InMemory, photographs
from causal_mlr_jax.data import pipeline
from causal_mlr_jax.data.dataset import Dataset
from causal_mlr_jax.data.preprocess import op_string, rand_augment, random_crops
from configs import coco, recipes

ROUNDS, IMAGES, BATCH = 9, 64, 16
Program = Callable[[bytes, np.random.Generator], np.ndarray]


def pillow(text: str) -> Program:
  """Returns a program that applies a preprocessing string by Pillow's ops."""
  calls = [part.partition("(") for part in text.split("|")]
  # A string such as "448)" is the complete text after "resize(".
  ops = [
    _pillow_op(name, ast.literal_eval(f"[{rest[:-1]}]"))
    for name, _, rest in calls
  ]

  def run(data: bytes, rng: np.random.Generator) -> np.ndarray:
    image = data
    for op in ops:
      image = op(image, rng)
    return np.asarray(image)

  return run


def _pillow_op(name: str, args: list) -> Callable:
  if name == "decode":
    return lambda data, rng: Image.open(io.BytesIO(data)).convert("RGB")
  if name == "resize":
    size = (args[0], args[0])
    return lambda image, rng: image.resize(size, Image.Resampling.BILINEAR)
  if name == "flip_lr":
    return lambda image, rng: (
      image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
      if rng.random() < 0.5
      else image
    )
  if name == "rand_augment":
    return _pillow_rand_augment
  if name == "multi_scale_crop":
    return lambda image, rng: _pillow_multi_scale(image, args[0], rng)
  # Crops and holes, which Pillow would not copy faster.
  op = op_string.OPS[name](*args)
  return lambda image, rng: Image.fromarray(op(np.asarray(image), rng))


def _pillow_rand_augment(
  image: Image.Image, rng: np.random.Generator
) -> Image.Image:
  names = list(rand_augment.TRANSFORMS)
  for name in (names[i] for i in rng.integers(len(names), size=2)):
    strength = int(rng.integers(1, 10)) / 9
    if rng.random() < 0.5:
      continue
    if name.startswith("shear"):
      matrix = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
      matrix[1 if name == "shear_x" else 3] = 0.3 * strength
      image = image.transform(
        image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC
      )
    elif name == "sharpness":
      image = ImageEnhance.Sharpness(image).enhance(1 + 0.9 * strength)
    else:
      image = rand_augment.TRANSFORMS[name](image, strength, rng)
  return image


def _pillow_multi_scale(
  image: Image.Image, size: int, rng: np.random.Generator
) -> Image.Image:
  side = min(image.size)
  w, h = (int(side * rng.choice((1, 0.875, 0.75, 0.66, 0.5))) for _ in "wh")
  down, right = random_crops.OFFSETS[rng.integers(len(random_crops.OFFSETS))]
  top = down * ((image.height - h) // 4)
  left = right * ((image.width - w) // 4)
  image = image.crop((left, top, left + w, top + h))
  return image.resize((size, size), Image.Resampling.BILINEAR)


def rates(programs: dict[str, Program]) -> dict[str, list[float]]:
  """Returns images per second of CPU time of each program in each round."""
  found: dict[str, list[float]] = {name: [] for name in programs}
  for number in range(-1, ROUNDS):
    for name, program in programs.items():
      rng = np.random.default_rng(max(number, 0))
      photos = itertools.cycle(photographs())
      start = time.thread_time()
      for data in itertools.islice(photos, IMAGES):
        program(data, rng)
      if number >= 0:  # the first round warms up
        seconds = time.thread_time() - start
        found[name].append(IMAGES / seconds)
  return found


def pipeline_rate(text: str, threads: int) -> float:
  """Returns images per second of the training pipeline."""
  batches = pipeline.train_batches(
    cast(Dataset, InMemory(threads)), "train", text, BATCH, 0
  )
  count = max(1, 4 * IMAGES // BATCH)
  for _ in range(4 * threads):  # skip the batches that were ready
    next(batches)
  start = time.perf_counter()
  for _ in range(count):
    next(batches)
  return count * BATCH / (time.perf_counter() - start)


def main(_: list[str]) -> None:
  """Times all recipes and prints the JSON line."""
  methods: dict[str, list[str]] = {}
  for name in recipes.RECIPES:
    text = coco.get_config(name).data.preprocess_train
    methods.setdefault(text, []).append(name)
  cores = len(os.sched_getaffinity(0))
  rows = []
  for text, names in methods.items():
    programs = {"ours": op_string.parse(text), "pillow": reference(text)}
    found = {k: statistics.median(v) for k, v in rates(programs).items()}
    one, all_ = (pipeline_rate(text, threads) for threads in (1, cores))
    rows.append(
      {
        "preprocess": text,
        "methods": names,
        **{k: round(v) for k, v in found.items()},
        "ratio": found["ours"] / found["pillow"],
        "scaling": all_ / one,
      }
    )
  print(
    json.dumps({"benchmark": "recipe_inputs", "cores": cores, "rows": rows})
  )


def reference(text: str) -> Program:
  """Returns the op-by-op program; random resized crops have a separate one."""
  if "random_resized_crop" not in text:
    return pillow(text)
  from benchmarks.input_pipeline import load

  return lambda data, rng: load(data, 224, rng)


if __name__ == "__main__":
  app.run(main)
