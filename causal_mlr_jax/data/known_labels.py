"""Label states of C-Tran: which labels of an image the method is given."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from causal_mlr_jax.core.errors import UserError

UNKNOWN, NEGATIVE, POSITIVE = -1, 0, 1
# Largest fraction of an image's labels that is known in the training of C-Tran.
MAX_KNOWN = 0.75


def random_label_state() -> Callable[..., np.ndarray]:
  """Returns a function that draws known labels for the training of C-Tran.

  Label mask training (Lanchantin et al. 2021, arXiv:2011.14027): the number of
  known labels is uniform in 0..⌊0.75 N⌋, and the known labels are a uniformly
  random subset of that size.
  """

  def draw(
    index: int, labels_N: np.ndarray, rng: np.random.Generator
  ) -> np.ndarray:
    del index
    known = int(rng.integers(int(MAX_KNOWN * len(labels_N)) + 1))
    return _state(labels_N, known, rng)

  return draw


def known_label_state(part: float) -> Callable[..., np.ndarray]:
  """Returns a function that makes a fraction of each image's labels known.

  ⌊part · N⌋ labels are known; which ones depends only on the image's index in
  its split, not on the training seed.

  Args:
    part: Fraction of the labels, in [0, 1).

  Raises:
    UserError: `part` is outside [0, 1).
  """
  if not 0 <= part < 1:
    raise UserError(
      f"method.known_labels = {part}: expected the fraction of the labels that "
      "is known at test time, at least 0 and below 1."
    )

  def draw(
    index: int, labels_N: np.ndarray, rng: np.random.Generator
  ) -> np.ndarray:
    del rng
    chosen = np.random.default_rng((20211, index))
    # In floating point, 0.29 * 100 is slightly below 29.
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
