"""Reads GloVe's text files: a word and its vector on every line."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np

from causal_mlr_jax.core.errors import UserError


def check(path: str) -> None:
  """Checks that a GloVe text file exists.

  Raises:
    UserError: The file does not exist.
  """
  if not pathlib.Path(path).expanduser().is_file():
    raise UserError(
      f"side_inputs.glove: there is no file of word vectors at {path}. The "
      "published programs use vectors of 300 numbers: download glove.6B.zip "
      "(822 MB) from https://nlp.stanford.edu/projects/glove/ and unpack "
      "glove.6B.300d.txt to that path, or set --config.side_inputs.glove=FILE "
      "to its path. An empty --config.side_inputs.glove= uses embeddings made "
      "from the training labels instead, which no published program does."
    )


def label_vectors(
  path: str | pathlib.Path, labels: Sequence[str]
) -> np.ndarray:
  """Returns the labels' word vectors from a GloVe text file, [N, D].

  The vector of a label of several words is the mean of their vectors, as in the
  published vectors of ML-GCN.

  Args:
    path: Path of the file; its lines hold a word and its numbers, separated by
      blanks.
    labels: Label names; words are separated by blanks, '_', '-' or '/'.

  Raises:
    UserError: The file cannot be read, the line of a word is malformed, words
      are missing from the file, or a label has no words.
  """
  words = [_words(label) for label in labels]
  for label, own in zip(labels, words, strict=True):
    if not own:
      raise UserError(
        f"The label {label!r} holds no word to look up in {path}; rename it, "
        "or leave side_inputs.glove empty for embeddings made from the "
        "training labels."
      )
  found = _read_vectors(pathlib.Path(path), {w for ws in words for w in ws})
  missing = sorted({w for ws in words for w in ws} - found.keys())
  if missing:
    raise UserError(
      f"{path} has no vector for the word(s) {', '.join(missing)} of the "
      "labels; use a file that has them, or leave side_inputs.glove empty for "
      "embeddings made from the training labels."
    )
  return np.stack(
    [np.mean([found[w] for w in ws], axis=0) for ws in words]
  ).astype(np.float32)


def _words(label: str) -> list[str]:
  for sign in "_-/":
    label = label.replace(sign, " ")
  return label.lower().split()


def _read_vectors(
  path: pathlib.Path, wanted: set[str]
) -> dict[str, np.ndarray]:
  found: dict[str, np.ndarray] = {}
  width = 0
  try:
    with path.expanduser().open(encoding="utf-8") as file:
      for number, line in enumerate(file, 1):
        word, _, rest = line.partition(" ")
        if word not in wanted:
          continue
        numbers = rest.split()
        # Some words of the large files contain blanks ("to name@domain.com"):
        # such a line is not the vector of its first part.
        if numbers and not _is_number(numbers[0]):
          continue
        width = width or len(numbers)
        if not numbers or len(numbers) != width:
          raise ValueError(
            f"line {number} ({word!r}) has {len(numbers)} numbers, "
            f"expected {width or 'at least one'}"
          )
        found[word] = np.array([float(x) for x in numbers])
  except (OSError, ValueError) as error:
    raise UserError(
      f"side_inputs.glove: cannot read {path}: {error}. Expected a GloVe text "
      "file: a word and its numbers on every line."
    ) from error
  return found


def _is_number(text: str) -> bool:
  try:
    float(text)
  except ValueError:
    return False
  return True
