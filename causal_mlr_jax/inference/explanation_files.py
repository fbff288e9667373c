"""Explanations of many images, each as a picture and as JSON."""

from __future__ import annotations

import io
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from causal_mlr_jax.core import atomic_files, progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data import read_options
from causal_mlr_jax.inference import explanation_picture
from causal_mlr_jax.inference.explanation import Explanation
from causal_mlr_jax.inference.prediction_files import shortest, unreadable
from causal_mlr_jax.inference.trained_model import TrainedModel

# Bytes of a stem; a longer one is cut, since most disks take names of 255.
LONGEST_STEM = 120
NO_LABEL = "No label reaches its threshold."


def check_output(path: str) -> pathlib.Path:
  """Returns the path of a folder to write explanations into.

  Raises:
    UserError: There is a file of that name.
  """
  found = pathlib.Path(path).expanduser()
  if found.exists() and not found.is_dir():
    raise UserError(
      f"--output={path} is a file: expected a folder, since each image gets a "
      "picture and a JSON of its own."
    )
  return found


def write_explanations(
  model: TrainedModel,
  images: Sequence[pathlib.Path],
  output: pathlib.Path,
  *,
  top_k: int = 0,
  reading: read_options.Reading = read_options.DEFAULT,
) -> int:
  """Writes STEM.png and STEM.json for each image.

  The picture shows the image and where each predicted label was seen. The JSON
  has all labels, the likeliest first, with the `map` of those that are shown or
  predicted. An image that cannot be read is named, counted and left out.

  Args:
    model: The trained model.
    images: Paths of the images.
    output: Folder to write into, made if absent.
    top_k: Number of labels to show for each image, the likeliest; 0 for those
      that reach their thresholds.
    reading: Threads and memory for reading.

  Returns:
    The number of images that could be read.

  Raises:
    UserError: No image could be read, or a file cannot be written.
  """
  reader = model.reader()
  found = model.explain_images(reader, list(images), reading=reading)
  done, stems = 0, file_stems(images)
  try:
    with progress.bar("explaining", len(images)) as bar:
      for place, explained in found:
        _write(explained, images[place], output, stems[place], top_k)
        done += 1
        bar.advance()
  except OSError as error:
    raise UserError(
      f"--output={output} cannot be written: {error.strerror}. Expected a "
      "folder, or a name that is not there yet."
    ) from error
  if not done:
    raise UserError(unreadable(images, reader.problems))
  if reader.problems:
    progress.say(unreadable(images, reader.problems))
  return done


def file_stems(images: Sequence[pathlib.Path]) -> list[str]:
  """Returns a name without ending for each image; all are different.

  It is the stem of the image. Where it was taken before, a number follows. No
  two differ by upper and lower case alone, since some disks know no such
  difference.
  """
  stems = [_cut(path.stem) for path in images]
  taken, found = set(), []
  kept = {stem.casefold() for stem in stems}
  for stem in stems:
    name, number = stem, 1
    while name.casefold() in taken or (number > 1 and name.casefold() in kept):
      number += 1
      name = f"{stem}-{number}"
    taken.add(name.casefold())
    found.append(name)
  return found


def _cut(stem: str) -> str:
  # Names that are no UTF-8 have surrogates for their bytes.
  short = stem.encode(errors="surrogateescape")[:LONGEST_STEM]
  if len(short) < LONGEST_STEM:
    return stem
  return short.decode(errors="ignore")


def _write(
  found: Explanation,
  image: pathlib.Path,
  output: pathlib.Path,
  stem: str,
  top_k: int,
) -> None:
  order = np.argsort(-found.probabilities, kind="stable")
  chosen = order[:top_k] if top_k else order[found.decisions[order]]
  note = "" if len(chosen) else NO_LABEL
  picture = explanation_picture.draw(found, chosen.tolist(), image.name, note)
  encoded = io.BytesIO()
  picture.save(encoded, "png", compress_level=3)  # half the time of 6
  with atomic_files.replacing(output / f"{stem}.png") as file:
    file.write(encoded.getvalue())
  text = as_json(found, str(image), order, set(chosen.tolist()))
  with atomic_files.replacing(output / f"{stem}.json") as file:
    # A name that is no UTF-8 keeps its bytes as escapes.
    file.write(text.encode(errors="backslashreplace"))


def as_json(
  found: Explanation, image: str, order: np.ndarray, shown: set[int]
) -> str:
  """Returns an explanation as JSON, a line for each label.

  Args:
    found: What the model saw in the image.
    image: Path of the image.
    order: Places of the labels, in the order that they are written.
    shown: Places of the labels that have a `map`.
  """
  head = {
    "image": image,
    "size": list(found.pixels.shape[:2]),
    "grid": list(found.maps.shape[1:]),
    "maps": found.about._asdict(),
  }
  start = json.dumps(head, ensure_ascii=False, indent=2).removesuffix("\n}")
  rows = (json.dumps(r, ensure_ascii=False) for r in _rows(found, order, shown))
  return f'{start},\n  "labels": [\n    ' + ",\n    ".join(rows) + "\n  ]\n}\n"


def _rows(
  found: Explanation, order: np.ndarray, shown: set[int]
) -> Iterator[dict[str, Any]]:
  for n in order:
    row = {
      "label": found.labels[n],
      "probability": shortest(found.probabilities[n]),
      "threshold": shortest(found.thresholds[n]),
      "decision": bool(found.decisions[n]),
    }
    row |= {name: shortest(part[n]) for name, part in found.parts.items()}
    if found.shares:
      row["shares"] = {k: shortest(v[n]) for k, v in found.shares.items()}
    if int(n) in shown:
      row["map"] = [[shortest(x) for x in line] for line in found.maps[n]]
    yield row
