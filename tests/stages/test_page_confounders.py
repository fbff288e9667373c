import numpy as np

from causal_mlr_jax.stages.report import page_confounders


def test_labels_are_enriched_where_a_confounder_covers_more():
  share = np.array([[1, 0], [1, 0], [0, 1], [0.5, 0.5]] * 5, np.float32)
  labels = np.array([[1, 1], [1, 0], [0, 0], [1, 0]] * 5)
  ratio = page_confounders.enrichment(share, labels)
  # Label 0: 12.5 of 12.5 at the first, 2.5 of 7.5 at the second, 3 in 4 else.
  np.testing.assert_allclose(ratio[:, 0], [4 / 3, 4 / 9])
  assert ratio[0, 1] == 1.6
  rare = labels.copy()
  rare[4:, 1] = 0
  assert (page_confounders.enrichment(share, rare)[:, 1] == 0).all()


def test_candidates_are_covered_most():
  share = np.eye(40, dtype=np.float32)[:, :3]
  found = page_confounders.candidates(share, np.array([2, 0]))
  assert {0, 2} <= set(found.tolist())
  assert len(found) <= 2 * page_confounders.CANDIDATES
  assert (np.diff(found) > 0).all()
