"""Counts, embeddings and label states are what their definitions say."""

import hypothesis.extra.numpy as npst
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data import side_inputs

few = settings(max_examples=30, deadline=None)


@st.composite
def label_tables(draw):
  """0 or 1, [M, N]; some labels stand in no image."""
  shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 7)))
  return draw(npst.arrays(np.float32, shape, elements=st.sampled_from([0, 1])))


def information(labels_MN):
  """Positive pointwise mutual information, pair by pair."""
  images, count = labels_MN.shape
  single = np.maximum(labels_MN.sum(0), 1) / images
  matrix = np.zeros((count, count))
  for i in range(count):
    for j in range(count):
      joint = (labels_MN[:, i] * labels_MN[:, j]).mean()
      joint = single[i] if i == j else joint
      if joint > 0:
        matrix[i, j] = max(np.log(joint / (single[i] * single[j])), 0)
  return matrix


def embeddings(labels_MN, dim):
  counted = side_inputs.cooccurrence(labels_MN)
  return side_inputs.embeddings_from_cooccurrence(counted, len(labels_MN), dim)


@few
@given(label_tables())
def test_counts_are_those_of_a_loop(labels):
  counted = side_inputs.cooccurrence(labels)
  count = labels.shape[1]
  for i in range(count):
    assert counted.nums_N[i] == sum(row[i] == 1 for row in labels)
    for j in range(count):
      both = sum(row[i] == row[j] == 1 for row in labels)
      assert counted.counts_NN[i, j] == (0 if i == j else both)
  assert counted.counts_NN.dtype == counted.nums_N.dtype == np.float32


@few
@given(label_tables())
def test_conditional_probabilities(labels):
  counted = side_inputs.cooccurrence(labels)
  given_row = np.asarray(counted.conditional())
  assert ((given_row >= 0) & (given_row <= 1)).all()
  assert (given_row[counted.nums_N == 0] == 0).all()
  # P(j | i) P(i) = P(i | j) P(j)
  joint = given_row * counted.nums_N[:, None]
  np.testing.assert_allclose(joint, joint.T, atol=1e-5)


@few
@given(label_tables(), st.integers(0, 4))
def test_products_of_embeddings_are_the_information(labels, more):
  matrix = information(labels)
  found = embeddings(labels, labels.shape[1] + more).astype(np.float64)
  # |M| of a symmetric M: its singular values on the left vectors. It is M
  # itself where M has no negative eigenvalue.
  values, vectors = np.linalg.eigh(matrix)
  gram = (vectors * np.abs(values)) @ vectors.T
  np.testing.assert_allclose(found @ found.T, gram, atol=1e-4)
  if values.min() >= 0:
    np.testing.assert_allclose(found @ found.T, matrix, atol=1e-4)
  assert (found[:, labels.shape[1] :] == 0).all()


@few
@given(label_tables(), st.integers(1, 9))
def test_embeddings_have_their_signs_determined(labels, dim):
  found = embeddings(labels, dim)
  assert found.shape == (labels.shape[1], dim)
  assert found.dtype == np.float32
  np.testing.assert_array_equal(found, embeddings(labels, dim))
  size = np.abs(found)
  first = (size > (1 - 1e-5) * size.max(0)[None]).argmax(0)
  assert (np.take_along_axis(found, first[None], 0) >= 0).all()
  # The order of the images does not matter.
  np.testing.assert_array_equal(found, embeddings(labels[::-1], dim))


def test_labels_in_like_company_come_out_alike(rng):
  scene = rng.random((400, 1)) < 0.5
  in_scene, elsewhere = scene & (rng.random((400, 3)) < 0.6), ~scene
  elsewhere = elsewhere & (rng.random((400, 3)) < 0.6)
  labels = np.concatenate([in_scene, elsewhere], axis=1)
  found = embeddings(labels, 6)
  cosine = found @ found.T
  norm = np.sqrt(np.diag(cosine))
  cosine /= norm[:, None] * norm[None]
  inside = cosine[:3, :3][np.triu_indices(3, 1)]
  assert inside.min() > np.abs(cosine[:3, 3:]).max()


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
  found = side_inputs.embeddings_from_glove(glove(tmp_path), labels)
  want = [[2, -1], [3, -4], [(-1 + 0.1 + 0.1 + 3) / 4, (0.25 + 4 - 4) / 4]]
  np.testing.assert_allclose(found, want, rtol=1e-6)
  assert found.dtype == np.float32


def test_glove_file_that_is_missing_or_none(tmp_path):
  with pytest.raises(UserError, match=r"side_inputs\.glove: cannot read"):
    side_inputs.embeddings_from_glove(tmp_path / "none.txt", ["table"])
  path = tmp_path / "bytes.txt"
  path.write_bytes(b"table \xff\xfe\n")
  with pytest.raises(UserError, match=r"side_inputs\.glove: cannot read"):
    side_inputs.embeddings_from_glove(path, ["table"])


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("table 1 2\ndining 1\n", r"line 2 \('dining'\) has 1 numbers, not 2"),
    ("table 1 2\ndining 1 2 3\n", r"line 2 \('dining'\) has 3 numbers, not 2"),
    ("table \ndining 1 2\n", r"line 1 \('table'\) has 0 numbers, not any"),
    ("table 1 two\ndining 1 2\n", "'two'"),
  ],
)
def test_glove_line_that_is_ragged(tmp_path, text, message):
  with pytest.raises(UserError, match=message):
    side_inputs.embeddings_from_glove(glove(tmp_path, text), ["dining table"])


def test_glove_words_that_are_missing_are_named(tmp_path):
  with pytest.raises(UserError, match=r"word\(s\) cat, zebra of the labels"):
    side_inputs.embeddings_from_glove(
      glove(tmp_path), ["zebra", "hot cat", "table"]
    )
  with pytest.raises(UserError, match="' - ' holds no word"):
    side_inputs.embeddings_from_glove(glove(tmp_path), ["table", " - "])


@few
@given(st.integers(1, 40), st.integers(0, 2**31))
def test_drawn_states_tell_the_truth(count, seed):
  rng = np.random.default_rng(seed)
  labels = (rng.random(count) < 0.3).astype(np.float32)
  state = side_inputs.random_label_state()(0, labels, rng)
  known = state != side_inputs.UNKNOWN
  assert state.dtype == np.int32
  np.testing.assert_array_equal(state[known], labels[known])
  assert known.sum() <= 3 * count // 4


def test_drawn_states_are_uniform():
  count, draws = 8, 7000
  rng = np.random.default_rng(0)
  draw = side_inputs.random_label_state()
  labels = np.ones(count, np.float32)
  known = np.stack([draw(0, labels, rng) >= 0 for _ in range(draws)])
  sizes = np.bincount(known.sum(1), minlength=count + 1) / draws
  # 0..6 known labels, each number as often, and each label as often: within
  # five standard deviations.
  np.testing.assert_allclose(sizes[:7], 1 / 7, atol=0.021)
  assert (sizes[7:] == 0).all()
  np.testing.assert_allclose(known.mean(0), 3 / 8, atol=0.03)


@few
@given(
  st.integers(0, 99), st.integers(1, 120), st.integers(0, 10**6), st.data()
)
def test_known_states_depend_on_the_image_alone(percent, count, index, data):
  draw = side_inputs.known_label_state(percent / 100)
  labels = np.asarray(
    data.draw(st.lists(st.sampled_from([0, 1]), min_size=count, max_size=count))
  )
  one = draw(index, labels, np.random.default_rng(1))
  known = one >= 0
  assert known.sum() == percent * count // 100
  np.testing.assert_array_equal(one[known], labels[known])
  # Neither the generator nor the labels choose.
  rng = np.random.default_rng(data.draw(st.integers(0, 9)))
  other = draw(index, 1 - labels, rng)
  np.testing.assert_array_equal(other >= 0, known)
  np.testing.assert_array_equal(other[known], 1 - labels[known])


def test_known_states_differ_between_images():
  draw = side_inputs.known_label_state(0.5)
  labels, rng = np.ones(30), np.random.default_rng(0)
  states = {tuple(draw(index, labels, rng)) for index in range(20)}
  assert len(states) == 20


@pytest.mark.parametrize("part", [-0.1, 1.0, 2.0, float("nan")])
def test_known_part_outside_of_its_range(part):
  with pytest.raises(UserError, match=r"method\.known_labels = .*below 1"):
    side_inputs.known_label_state(part)
