"""Side inputs that the labels of a data set give."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import Cooccurrence

UNKNOWN, NEGATIVE, POSITIVE = -1, 0, 1
# Of the training of C-Tran: the largest known part of an image's labels.
MAX_KNOWN = 0.75


def cooccurrence(labels_MN: np.ndarray) -> Cooccurrence:
  """Counts labels and pairs of labels over the images of a split.

  Args:
    labels_MN: 0 or 1, one row an image.
  """
  labels = labels_MN.astype(np.float64)
  counts = labels.T @ labels
  nums = counts.diagonal().copy()
  np.fill_diagonal(counts, 0)
  return Cooccurrence(counts.astype(np.float32), nums.astype(np.float32))


def embeddings_from_cooccurrence(
  counted: Cooccurrence, num_images: int, dim: int
) -> np.ndarray:
  """Returns label embeddings [N, D] made from the training labels alone.

  The symmetric matrix of positive pointwise mutual information between labels
  is factorised, U·sqrt(S) of its singular value decomposition (for words:
  Levy and Goldberg, Neural Word Embedding as Implicit Matrix Factorization,
  NeurIPS 2014); labels that stand in like company come out alike. The
  diagonal holds -log P(label); a label of no image counts as one of one
  image. Columns beyond N are 0.

  Args:
    counted: over the training split.
    num_images: of that split, at least 1.
    dim: D.
  """
  joint = np.asarray(counted.counts_NN, np.float64) / num_images
  single = np.maximum(np.asarray(counted.nums_N, np.float64), 1) / num_images
  np.fill_diagonal(joint, single)
  with np.errstate(divide="ignore"):
    information = np.log(joint) - np.log(np.outer(single, single))
  u, s, _ = np.linalg.svd(np.maximum(information, 0))
  kept = min(dim, len(s))
  # A column's sign is not determined: the largest entry is made positive, the
  # first one where others are as large, whatever rounding says.
  u = u[:, :kept]
  large = np.abs(u) > (1 - 1e-6) * np.abs(u).max(0)[None]
  u *= np.sign(u[large.argmax(0), np.arange(kept)])[None]
  embeddings = np.zeros((len(s), dim), np.float32)
  embeddings[:, :kept] = u * np.sqrt(s[:kept])[None]
  return embeddings


def check_glove(path: str) -> None:
  """Checks that a GloVe text file is there.

  Raises:
    UserError: it is not.
  """
  if not pathlib.Path(path).expanduser().is_file():
    raise UserError(
      f"side_inputs.glove: there are no word vectors in {path}. The published "
      "programs take those of 300 numbers: fetch glove.6B.zip (822 MB) from "
      "https://nlp.stanford.edu/projects/glove/, unpack glove.6B.300d.txt to "
      "that place, or name its own by --config.side_inputs.glove=FILE. "
      "--config.side_inputs.glove= with nothing behind it takes embeddings "
      "made from the training labels instead, which no published program does."
    )


def embeddings_from_glove(
  path: str | pathlib.Path, labels: Sequence[str]
) -> np.ndarray:
  """Returns word vectors of the labels from a GloVe text file, [N, D].

  A label of several words takes the mean of theirs, as the published vectors
  of ML-GCN do.

  Args:
    path: lines of a word and its numbers, separated by blanks.
    labels: names; words are separated by blanks, '_', '-' or '/'.

  Raises:
    UserError: the file cannot be read, the line of a word is not of that
      form, words are missing, or a label has none.
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
        # Some entries of the large files hold blanks ("to name@domain.com"):
        # they are another word's.
        if numbers and not _is_number(numbers[0]):
          continue
        width = width or len(numbers)
        if not numbers or len(numbers) != width:
          raise ValueError(
            f"line {number} ({word!r}) has {len(numbers)} numbers, not "
            f"{width or 'any'}"
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


def random_label_state() -> Callable[..., np.ndarray]:
  """Returns a function that draws known labels for the training of C-Tran.

  Label mask training (Lanchantin et al. 2021, arXiv:2011.14027): the number
  of known labels is uniform in 0..⌊0.75 N⌋, and which ones is too.
  """

  def draw(
    index: int, labels_N: np.ndarray, rng: np.random.Generator
  ) -> np.ndarray:
    del index
    known = int(rng.integers(int(MAX_KNOWN * len(labels_N)) + 1))
    return _state(labels_N, known, rng)

  return draw


def known_label_state(part: float) -> Callable[..., np.ndarray]:
  """Returns a function that makes a part of each image's labels known.

  ⌊part · N⌋ of them; which ones depends on the image's place in its split
  alone, not on the seed of training.

  Args:
    part: of the labels, in [0, 1).

  Raises:
    UserError: another part.
  """
  if not 0 <= part < 1:
    raise UserError(
      f"method.known_labels = {part}: expected the part of the labels that is "
      "known at test, at least 0 and below 1."
    )

  def draw(
    index: int, labels_N: np.ndarray, rng: np.random.Generator
  ) -> np.ndarray:
    del rng
    chosen = np.random.default_rng((20211, index))
    # 0.29 * 100 is a little below 29.
    known = int(part * len(labels_N) + 1e-9)
    return _state(labels_N, known, chosen)

  return draw


def _state(
  labels_N: np.ndarray, known: int, rng: np.random.Generator
) -> np.ndarray:
  state = np.full(len(labels_N), UNKNOWN, np.int32)
  chosen = rng.permutation(len(labels_N))[:known]
  state[chosen] = labels_N[chosen].astype(np.int32)
  return state
