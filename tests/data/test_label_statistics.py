"""Counts and embeddings are what their definitions say."""

import hypothesis.extra.numpy as npst
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from causal_mlr_jax.data import label_statistics


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
  counted = label_statistics.cooccurrence(labels_MN)
  return label_statistics.embeddings_from_cooccurrence(
    counted, len(labels_MN), dim
  )


@given(label_tables())
def test_counts_are_those_of_a_loop(labels):
  counted = label_statistics.cooccurrence(labels)
  count = labels.shape[1]
  for i in range(count):
    assert counted.nums_N[i] == sum(row[i] == 1 for row in labels)
    for j in range(count):
      both = sum(row[i] == row[j] == 1 for row in labels)
      assert counted.counts_NN[i, j] == (0 if i == j else both)
  assert counted.counts_NN.dtype == counted.nums_N.dtype == np.float32


@given(label_tables())
def test_conditional_probabilities(labels):
  counted = label_statistics.cooccurrence(labels)
  given_row = np.asarray(counted.conditional())
  assert ((given_row >= 0) & (given_row <= 1)).all()
  assert (given_row[counted.nums_N == 0] == 0).all()
  # P(j | i) P(i) = P(i | j) P(j)
  joint = given_row * counted.nums_N[:, None]
  np.testing.assert_allclose(joint, joint.T, atol=1e-5)


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
