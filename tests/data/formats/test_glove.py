"""Word vectors of labels, and files that are wrong."""

import numpy as np
import pytest

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.formats.glove import label_vectors

GLOVE = """the 0.5 0.5
dining 1 2
table 3 -4
to name@domain.com 7 8
to -1 0.25
hot 1e-1 2
"""


def glove(tmp_path, text=GLOVE):
  path = tmp_path / "glove.txt"
  path.write_text(text, encoding="utf-8")
  return path


def test_glove_takes_the_mean_over_the_words_of_a_label(tmp_path):
  labels = ("Dining table", "table", "to_hot/hot-table")
  found = label_vectors(glove(tmp_path), labels)
  want = [[2, -1], [3, -4], [(-1 + 0.1 + 0.1 + 3) / 4, (0.25 + 4 - 4) / 4]]
  np.testing.assert_allclose(found, want, rtol=1e-6)
  assert found.dtype == np.float32


def test_glove_file_that_is_missing_or_none(tmp_path):
  with pytest.raises(UserError, match=r"side_inputs\.glove: cannot read"):
    label_vectors(tmp_path / "none.txt", ["table"])
  path = tmp_path / "bytes.txt"
  path.write_bytes(b"table \xff\xfe\n")
  with pytest.raises(UserError, match=r"side_inputs\.glove: cannot read"):
    label_vectors(path, ["table"])


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("table 1 2\ndining 1\n", r"line 2 \('dining'\) has 1 numbers, expected 2"),
    (
      "table 1 2\ndining 1 2 3\n",
      r"line 2 \('dining'\) has 3 numbers, expected 2",
    ),
    (
      "table \ndining 1 2\n",
      r"line 1 \('table'\) has 0 numbers, expected at least one",
    ),
    ("table 1 two\ndining 1 2\n", "'two'"),
  ],
)
def test_glove_line_that_is_ragged(tmp_path, text, message):
  with pytest.raises(UserError, match=message):
    label_vectors(glove(tmp_path, text), ["dining table"])


def test_glove_words_that_are_missing_are_named(tmp_path):
  with pytest.raises(UserError, match=r"word\(s\) cat, zebra of the labels"):
    label_vectors(glove(tmp_path), ["zebra", "hot cat", "table"])
  with pytest.raises(UserError, match="' - ' holds no word"):
    label_vectors(glove(tmp_path), ["table", " - "])
