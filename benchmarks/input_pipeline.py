"""Compares the speed of the input pipeline with one in PyTorch's style.

Both apply 'decode|random_resized_crop(S)|flip_lr' with S = 224 and 448 to JPEG
photographs of 640 x 480, the typical size in COCO, from memory. Ours is
`pipeline.train_batches`. The other decodes whole images with Pillow, crops,
resizes, mirrors, converts to float, normalises and stacks them to batches, one
op at a time like torchvision. Each of its workers makes one batch, in a pool of
threads, or in a pool of processes with shared memory that is allocated once.
All pipelines have the same number of workers and take turns in short rounds. A
ratio is the median over the rounds of our rate divided by that of the pool with
the better median.

  python -m benchmarks.input_pipeline

Prints one JSON line: `ratio_224`, `ratio_448`, images per second, and for each
size `wait_share`, the fraction of time spent waiting for data if a training
step takes 1.2 times as long as making a batch.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import functools
import io
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing import shared_memory
from typing import Any, cast

import numpy as np
from absl import app, flags
from PIL import Image

from causal_mlr_jax.data import pipeline
from causal_mlr_jax.data.dataset import Dataset
from causal_mlr_jax.data.emoji.drawing import package_file
from causal_mlr_jax.data.read_options import Reading

SIZES = (224, 448)
WIDTH, HEIGHT, QUALITY = 640, 480, 90
# The number of images matters, because shuffling only a few hundred is slower.
RECORDS, LABELS, BATCH = 82_081, 80, 16
PHOTOS = (
  ("skimage", "data/astronaut.png"),
  ("skimage", "data/chelsea.png"),
  ("skimage", "data/coffee.png"),
  ("skimage", "data/motorcycle_left.png"),
  ("skimage", "data/motorcycle_right.png"),
  ("skimage", "data/rocket.jpg"),
  ("sklearn", "datasets/images/china.jpg"),
  ("sklearn", "datasets/images/flower.jpg"),
)
MEAN = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]
STD = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]
# Number of batches in progress; as many are discarded before timing starts.
AHEAD = 4
STEP_TO_BATCH = 1.2

_WORKERS = flags.DEFINE_integer("workers", 2, "workers of each pipeline")
_ROUNDS = flags.DEFINE_integer("rounds", 15, "rounds of all pipelines in turn")
_BATCHES = flags.DEFINE_integer("batches", 20, "batches timed in each round")

Batches = Iterator[Any]
Submit = Callable[[int], concurrent.futures.Future]


@functools.cache
def photographs() -> tuple[bytes, ...]:
  """Returns the encoded photographs."""
  found = []
  for package, path in PHOTOS:
    with Image.open(package_file(package, path)) as image:
      small = image.convert("RGB").resize((WIDTH, HEIGHT))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=QUALITY)
    found.append(buffer.getvalue())
  return tuple(found)


class InMemory(Sequence):
  """A data set as large as COCO's that repeats the photographs."""

  def __init__(self, threads: int):
    """Makes a data set that is read by the given number of threads."""
    self.reading = Reading(threads)

  def __len__(self):
    return RECORDS

  def __getitem__(self, index: int) -> dict[str, Any]:
    photos = photographs()
    labels = np.zeros(LABELS, np.uint8)
    return {"image": photos[index % len(photos)], "labels": labels}

  def source(self, split: str) -> InMemory:
    """Returns the records, which are the same for every split."""
    del split
    return self


def ours(size: int, workers: int) -> Batches:
  """Returns the batches of the training pipeline."""
  return pipeline.train_batches(
    cast(Dataset, InMemory(workers)),
    "train",
    f"decode|random_resized_crop({size})|flip_lr",
    BATCH,
    seed=0,
  )


def load(data: bytes, size: int, rng: np.random.Generator) -> np.ndarray:
  """Returns a normalised random crop, float32 [3, size, size]."""
  image = Image.open(io.BytesIO(data)).convert("RGB")
  left, top, right, bottom = random_box(*image.size, rng)
  image = image.crop((left, top, right, bottom))
  image = image.resize((size, size), Image.Resampling.BILINEAR)
  if rng.random() < 0.5:
    image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
  # The same passes as ToTensor and Normalize, which copies its input.
  channels_first = np.ascontiguousarray(np.array(image).transpose(2, 0, 1))
  pixels = (channels_first.astype(np.float32) / 255).copy()
  pixels -= MEAN
  pixels /= STD
  return pixels


def random_box(
  width: int, height: int, rng: np.random.Generator
) -> tuple[int, int, int, int]:
  """Returns the bounds of a random crop by torchvision's rule."""
  for _ in range(10):
    area = rng.uniform(0.08, 1) * width * height
    aspect = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
    w, h = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
    if w <= width and h <= height:
      left = int(rng.integers(width - w + 1))
      top = int(rng.integers(height - h + 1))
      return left, top, left + w, top + h
  w, h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
  left, top = (width - w) // 2, (height - h) // 2
  return left, top, left + w, top + h


def load_batch(size: int, number: int, out: np.ndarray | None) -> Any:
  """Loads one batch, float32 [B, 3, size, size], into `out` if it is given."""
  rng = np.random.default_rng(number)
  photos = photographs()
  chosen = rng.integers(0, len(photos), BATCH)
  return np.stack([load(photos[i], size, rng) for i in chosen], out=out)


_slots: list[tuple[shared_memory.SharedMemory, np.ndarray]] = []


def _attach(names: list[str], size: int) -> None:
  photographs()
  for name in names:
    memory = shared_memory.SharedMemory(name)
    shape = (BATCH, 3, size, size)
    _slots.append((memory, np.ndarray(shape, np.float32, memory.buf)))


def _fill(size: int, number: int) -> None:
  load_batch(size, number, _slots[number % len(_slots)][1])


@contextlib.contextmanager
def process_pool(
  size: int, workers: int
) -> Iterator[concurrent.futures.Executor]:
  """Opens a pool that writes batches to shared memory."""
  # One block more than there are batches in progress, for the caller's batch.
  memory = [
    shared_memory.SharedMemory(create=True, size=BATCH * 3 * size * size * 4)
    for _ in range(AHEAD + 1)
  ]
  names = [block.name for block in memory]
  context = multiprocessing.get_context("spawn")
  try:
    with concurrent.futures.ProcessPoolExecutor(
      workers, context, _attach, (names, size)
    ) as pool:
      yield pool
  finally:
    for block in memory:
      block.close()
      block.unlink()


def from_pool(submit: Submit) -> Batches:
  """Yields results in order while `AHEAD` batches are in progress."""
  waiting: collections.deque[concurrent.futures.Future] = collections.deque()
  number = 0
  while True:
    while len(waiting) < AHEAD:
      waiting.append(submit(number))
      number += 1
    yield waiting.popleft().result()


def images_per_second(batches: Batches, count: int) -> float:
  """Times `count` batches; no work is left when the next pipeline starts."""
  # Skip the batches that were ready, and as many again to reach a steady state.
  for _ in range(2 * AHEAD):
    next(batches)
  start = time.perf_counter()
  for _ in range(count):
    next(batches)
  seconds = time.perf_counter() - start
  # Wait long enough for the same number of batches to be ready again.
  time.sleep(2 * seconds / count * AHEAD)
  return count * BATCH / seconds


def wait_share(batches: Batches, step: float, count: int) -> float:
  """Returns the fraction of its time that a loop of steps waits for data.

  Args:
    batches: Batches, of which each step takes one.
    step: Seconds that a step takes; nothing is computed here in that time.
    count: Number of steps.
  """
  for _ in range(AHEAD):
    next(batches)
  waited, start = 0.0, time.perf_counter()
  for _ in range(count):
    before = time.perf_counter()
    next(batches)
    waited += time.perf_counter() - before
    time.sleep(step)
  return waited / (time.perf_counter() - start)


def measure(size: int) -> dict[str, Any]:
  """Returns the results to print for one size."""
  workers = _WORKERS.value
  mine = ours(size, workers)
  with (
    concurrent.futures.ThreadPoolExecutor(workers) as threads,
    process_pool(size, workers) as processes,
  ):
    rates = in_turn(
      {
        "ours": mine,
        "threads": from_pool(
          lambda i: threads.submit(load_batch, size, i, None)
        ),
        "processes": from_pool(lambda i: processes.submit(_fill, size, i)),
      }
    )
  medians = {name: statistics.median(rate) for name, rate in rates.items()}
  step = STEP_TO_BATCH * BATCH / medians["ours"]
  other = max("threads", "processes", key=lambda name: medians[name])
  rounds = zip(rates["ours"], rates[other], strict=True)
  return {
    "ratio": statistics.median(ours / theirs for ours, theirs in rounds),
    "better_pool": other,
    "images_per_second": {name: round(r) for name, r in medians.items()},
    "step_seconds": step,
    "wait_share": wait_share(mine, step, 4 * _BATCHES.value),
  }


def in_turn(pipelines: Mapping[str, Batches]) -> dict[str, list[float]]:
  """Returns images per second of each pipeline in each round."""
  rates: dict[str, list[float]] = {name: [] for name in pipelines}
  for _ in range(_ROUNDS.value):
    for name, batches in pipelines.items():
      rates[name].append(images_per_second(batches, _BATCHES.value))
  return rates


def main(_: list[str]) -> None:
  """Runs the comparison and prints its JSON line."""
  found = {size: measure(size) for size in SIZES}
  result = {
    "benchmark": "input_pipeline",
    "cores": len(os.sched_getaffinity(0)),
    "workers": _WORKERS.value,
    "batch": BATCH,
    **{f"ratio_{size}": found[size].pop("ratio") for size in SIZES},
    **{str(size): values for size, values in found.items()},
  }
  print(json.dumps(result))


if __name__ == "__main__":
  app.run(main)
