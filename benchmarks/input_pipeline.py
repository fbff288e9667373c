"""Times the input pipeline on photographs, against one in PyTorch's style.

The preprocessing 'decode|random_resized_crop(S)|flip_lr' at S = 224 and 448
of JPEG photographs of 640 x 480, the size of those of COCO, from memory.
Ours is `pipeline.train_batches`. The other decodes whole images with Pillow,
crops, resizes, mirrors, makes floats, normalises them and stacks them to
batches, op by op like torchvision; a worker makes a batch, in a pool of
threads and in a pool of processes with shared memory that is allocated once.
All have the same number of workers and take turns in short rounds; a ratio is
the median over the rounds of ours to the pool that is faster in the median.

  python -m benchmarks.input_pipeline

Prints one JSON line: `ratio_224`, `ratio_448`, images per second, and for
each size `wait_share`: the part of the time that a training step which takes
1.2 times as long as a batch waits for data.
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
# The number of images matters: shuffling a few hundred takes longer.
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
# Batches under way; as many are taken before the clock starts.
AHEAD = 4
STEP_TO_BATCH = 1.2

_WORKERS = flags.DEFINE_integer("workers", 2, "threads or processes of each")
_ROUNDS = flags.DEFINE_integer("rounds", 15, "of all pipelines in turn")
_BATCHES = flags.DEFINE_integer("batches", 20, "timed in a round")

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
    """Makes a data set that is read by so many threads."""
    self.reading = Reading(threads)

  def __len__(self):
    return RECORDS

  def __getitem__(self, index: int) -> dict[str, Any]:
    photos = photographs()
    labels = np.zeros(LABELS, np.uint8)
    return {"image": photos[index % len(photos)], "labels": labels}

  def source(self, split: str) -> InMemory:
    """Returns the records; of any split the same."""
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
  # The passes of ToTensor and Normalize, which copies what it is given.
  channels_first = np.ascontiguousarray(np.array(image).transpose(2, 0, 1))
  pixels = (channels_first.astype(np.float32) / 255).copy()
  pixels -= MEAN
  pixels /= STD
  return pixels


def random_box(
  width: int, height: int, rng: np.random.Generator
) -> tuple[int, int, int, int]:
  """Returns the bounds of a random crop, by torchvision's rule."""
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
  """Loads one batch float32 [B, 3, size, size], into `out` if it is given."""
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
  # One block more than are under way: for the batch that the caller has.
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
  """Yields results in order, so many under way."""
  waiting: collections.deque[concurrent.futures.Future] = collections.deque()
  number = 0
  while True:
    while len(waiting) < AHEAD:
      waiting.append(submit(number))
      number += 1
    yield waiting.popleft().result()


def images_per_second(batches: Batches, count: int) -> float:
  """Times `count` batches; leaves nothing at work for the next pipeline."""
  # Those that were ready, and as many to get going.
  for _ in range(2 * AHEAD):
    next(batches)
  start = time.perf_counter()
  for _ in range(count):
    next(batches)
  seconds = time.perf_counter() - start
  # As long as it takes, with room, to get as many ready again.
  time.sleep(2 * seconds / count * AHEAD)
  return count * BATCH / seconds


def wait_share(batches: Batches, step: float, count: int) -> float:
  """Returns the share of its time that a loop of steps waits for data.

  Args:
    batches: to take one from for each step.
    step: seconds that a step takes, during which nothing is computed here.
    count: of steps.
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
  """Returns what is printed for one size."""
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
