import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, pairwise_distances_argmin

from causal_mlr_jax.confounders.kmeans import assign, kmeans
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.parallel import make_mesh, shard
from tests import small
from tests.confounders.clustered import clustered
from tests.devices import run_on_devices


@pytest.fixture(scope="module")
def mesh():
  return make_mesh(jax.devices()[:1])


def blobs(rng, rows=600, channels=8, clusters=5, spread=0.1):
  """Well separated groups: rows float32 [rows, channels], and their group."""
  centres = 10 * rng.normal(size=(clusters, channels))
  group = np.concatenate(
    [np.arange(clusters), rng.integers(0, clusters, rows - clusters)]
  )
  noise = spread * rng.normal(size=(rows, channels))
  return (centres[group] + noise).astype(np.float32), group


def key(seed=0):
  return jax.random.key(seed)


def rises(got, features):
  """Largest rise of the inertia, as a share of the squares it is made of."""
  squares = ((features - features.mean(0, dtype="f8")) ** 2).sum()
  return np.max(np.diff(got.history), initial=-np.inf) / squares


@pytest.mark.parametrize("offset", [0, 1000])
def test_as_good_as_scikit_learn_from_the_same_centres(mesh, rng, offset):
  features = (rng.gamma(1, size=(2000, 16)) + offset).astype(np.float32)
  init = features[:12]
  got = kmeans(features, mesh, 12, key(), init_centres_KC=init, tolerance=1e-7)
  oracle = KMeans(12, init=init.astype(np.float64), n_init=1, tol=0)
  oracle.fit(features.astype(np.float64))
  assert abs(got.inertia / oracle.inertia_ - 1) < 0.01
  assert rises(got, features) < 1e-6
  distances = ((features[:, None] - got.centres_KC[None]) ** 2).sum(2, "f8")
  np.testing.assert_allclose(got.inertia, distances.min(1).sum(), rtol=1e-4)
  counts = np.bincount(distances.argmin(1), minlength=12)
  # With an offset float32 cannot tell a few of the closest calls.
  assert np.abs(got.counts_K - counts).sum() <= 4
  assert got.counts_K.sum() == 2000
  assert len(got.history) == got.iterations + 1


def test_finds_separate_groups_like_scikit_learn(mesh, rng):
  features, group = blobs(rng)
  got = kmeans(features, mesh, 5, key())
  index = assign(features, got.centres_KC, mesh)
  assert adjusted_rand_score(group, index) == 1
  oracle = KMeans(5, n_init=5, random_state=0).fit(features)
  assert adjusted_rand_score(oracle.labels_, index) == 1
  np.testing.assert_allclose(got.inertia, oracle.inertia_, rtol=1e-4)
  np.testing.assert_array_equal(np.bincount(index, minlength=5), got.counts_K)


def test_first_centres_are_spread_out(mesh, rng):
  features, _ = blobs(rng, rows=400, clusters=8, spread=0.01)
  seen = []
  kmeans(
    features,
    mesh,
    8,
    key(3),
    max_iterations=1,
    on_iteration=lambda i, inertia: seen.append((i, inertia)),
  )
  # One centre a group already before the first move.
  assert [i for i, _ in seen] == [0, 1]
  assert seen[0][1] < 4 * seen[1][1]


def test_centres_are_drawn_by_squared_distance(mesh):
  # Of two clusters, the second is drawn at 3 or at 1 from the first, 0.
  features = np.array([[0.0], [1.0], [3.0]], np.float32)
  weights = np.array([1e12, 1.0, 1.0], np.float32)
  second = []
  for seed in range(200):
    got = kmeans(
      features, mesh, 2, key(seed), weights=weights, max_iterations=1
    )
    # The inertia before the first move tells which row was drawn.
    second.append(got.history[0] == 1)
  # 9 of 10 by squared distance, 3 of 4 by distance; 5 standard deviations.
  assert abs(np.mean(second) - 0.9) < 0.1


rows_20_by_3 = hnp.arrays(
  np.float32, (20, 3), elements=st.floats(-100, 100, width=16)
)


@given(rows_20_by_3, st.integers(0, 2**31 - 1))
def test_inertia_never_rises(features, seed):
  if len(np.unique(features, axis=0)) < 4:
    return
  got = kmeans(features, make_mesh(), 4, key(seed), tolerance=0)
  assert rises(got, features) < 1e-6
  assert got.counts_K.sum() == 20
  assert np.isfinite(got.centres_KC).all()


@given(rows_20_by_3, st.data())
def test_rows_of_weight_0_are_not_read(features, data):
  weights = data.draw(
    hnp.arrays(np.float32, 20, elements=st.sampled_from([0.0, 1.0, 2.0]))
  )
  used = weights > 0
  if len(np.unique(features[used], axis=0)) < 4:
    return
  results = [
    kmeans(
      np.where(used[:, None], features, hidden),
      make_mesh(),
      4,
      key(),
      weights=weights,
    )
    for hidden in (np.float32(np.nan), np.float32(7))
  ]
  for first, second in zip(*results, strict=True):
    np.testing.assert_array_equal(first, second)
  np.testing.assert_allclose(results[0].counts_K.sum(), weights.sum())


def test_weights_are_repetitions(mesh, rng):
  features, _ = blobs(rng, rows=100, spread=3)
  weights = rng.integers(0, 4, 100).astype(np.float32)
  init = features[:5]
  weighted = kmeans(
    features, mesh, 5, key(), weights=weights, init_centres_KC=init
  )
  repeated = np.repeat(features, weights.astype(int), 0)
  expected = kmeans(repeated, mesh, 5, key(), init_centres_KC=init)
  np.testing.assert_allclose(
    weighted.centres_KC, expected.centres_KC, rtol=1e-4, atol=1e-5
  )
  np.testing.assert_array_equal(weighted.counts_K, expected.counts_K)


def test_empty_clusters_move_to_different_far_rows(mesh, rng):
  features, group = blobs(rng, clusters=6)
  # One useful centre; five far away from everything, and equal.
  init = np.full((6, 8), 1e3, np.float32)
  init[0] = 0
  got = kmeans(features, mesh, 6, key(), init_centres_KC=init)
  assert (got.counts_K > 0).all()
  assert rises(got, features) < 1e-6
  index = assign(features, got.centres_KC, mesh)
  assert adjusted_rand_score(group, index) == 1


def test_equal_rows_are_no_trouble(mesh):
  values = np.array([[0, 0], [1, 0], [0, 5]], np.float32)
  features = np.repeat(values, [50, 3, 7], 0)
  for seed in range(5):
    got = kmeans(features, mesh, 3, key(seed))
    order = np.argsort(got.counts_K)
    np.testing.assert_allclose(
      got.centres_KC[order], values[[1, 2, 0]], atol=1e-6
    )
    np.testing.assert_array_equal(got.counts_K[order], [3, 7, 50])
    assert got.inertia < 1e-10


@pytest.mark.parametrize("chunk", small.few([1, 7, 64, 600, 1000], [7, 1000]))
def test_chunks_change_nothing(mesh, rng, chunk):
  features, _ = blobs(rng, spread=5)
  expected = kmeans(features, mesh, 5, key())
  got = kmeans(features, mesh, 5, key(), chunk_rows=chunk)
  np.testing.assert_allclose(
    got.centres_KC, expected.centres_KC, rtol=1e-4, atol=1e-4
  )
  np.testing.assert_array_equal(got.counts_K, expected.counts_K)
  np.testing.assert_array_equal(
    assign(features, got.centres_KC, mesh, chunk_rows=chunk),
    assign(features, got.centres_KC, mesh),
  )


def test_one_cluster_is_the_weighted_mean(mesh, rng):
  features = (rng.normal(size=(500, 4)) + 50).astype(np.float32)
  weights = rng.random(500).astype(np.float32)
  got = kmeans(features, mesh, 1, key(), weights=weights)
  mean = np.average(features.astype("f8"), axis=0, weights=weights)
  np.testing.assert_allclose(got.centres_KC[0], mean, rtol=1e-6)


def test_same_key_same_centres(mesh, rng):
  features = rng.normal(size=(300, 4)).astype(np.float32)
  typed = jax.random.key(7, impl="threefry2x32")  # that of a legacy key
  first, second = (kmeans(features, mesh, 6, typed) for _ in range(2))
  np.testing.assert_array_equal(first.centres_KC, second.centres_KC)
  assert first.history == second.history
  legacy = kmeans(features, mesh, 6, jax.random.PRNGKey(7))
  np.testing.assert_array_equal(legacy.centres_KC, first.centres_KC)


def test_global_arrays_and_half_precision(mesh, rng):
  features, group = blobs(rng)
  half = shard(features.astype(jnp.bfloat16), mesh)
  got = kmeans(half, mesh, 5, key())
  assert got.centres_KC.dtype == np.float32
  index = assign(half, got.centres_KC)
  assert isinstance(index, jax.Array)
  assert index.sharding.is_equivalent_to(half.sharding, 1)
  assert adjusted_rand_score(group, np.asarray(index)) == 1
  on_one_device = kmeans(jnp.asarray(features), mesh, 5, key())
  assert (on_one_device.counts_K == got.counts_K).all()


def test_assign_takes_the_nearest(mesh, rng):
  features = rng.normal(size=(333, 5)).astype(np.float32)
  centres = rng.normal(size=(9, 5)).astype(np.float32)
  index = assign(features, centres)
  np.testing.assert_array_equal(
    index, pairwise_distances_argmin(features, centres)
  )
  assert index.dtype == np.int32


SNIPPET = """
from tests.confounders.clustered import clustered
print(json.dumps(clustered()))
"""


def test_eight_devices_equal_one():
  assert jax.device_count() == 1
  one, eight = clustered(), run_on_devices(SNIPPET)
  for name in one:
    np.testing.assert_allclose(
      eight[name], one[name], rtol=1e-4, atol=1e-4, err_msg=name
    )
  assert one["counts"] == eight["counts"]
  assert one["index"] == eight["index"]


@pytest.mark.parametrize(
  ("features", "clusters", "kwargs", "message"),
  [
    (np.ones((5, 2)), 6, {}, r"confounders.num = 6.*at most 5.*feature rows"),
    (np.ones((5, 2)), 2, {}, r"confounders.num = 2.*at most 1.*different"),
    (np.eye(3), 2, {"weights": [1, 0, 0]}, "at most 1"),
    (np.eye(3), 0, {}, "at least 1"),
    (np.zeros((0, 2)), 1, {}, "at most 0"),
    ([[0.0, np.nan], [1, 1]], 1, {}, "1 of 2 feature rows hold NaN"),
    ([[0.0, np.inf], [1, 1]], 1, {}, "1 of 2 feature rows hold NaN"),
    (np.eye(3), 1, {"weights": [1, -1, np.nan]}, "2 weight"),
    (np.eye(3), 1, {"weights": [1, 1]}, "one weight per row"),
    (np.ones(3), 1, {}, r"\[rows, channels\]"),
    (1e25 * np.eye(3), 2, {}, "too large"),
    (np.eye(3), 2, {"init_centres_KC": np.ones((2, 2))}, r"shape \(2, 3\)"),
    (np.eye(2), 1, {"init_centres_KC": [[np.nan, 0]]}, "finite"),
    (np.ones((5, 2)), 2, {"init_centres_KC": np.eye(2)}, "at most 1"),
    ([[0], [0], [0.3]], 3, {"init_centres_KC": [[5], [1], [2]]}, "at most 2"),
  ],
)
def test_wrong_input_is_named(mesh, features, clusters, kwargs, message):
  features = np.array(features, np.float32)
  kwargs = {k: np.array(v, np.float32) for k, v in kwargs.items()}
  with pytest.raises(UserError, match=message):
    kmeans(features, mesh, clusters, key(), **kwargs)


def test_runner_reports_what_went_wrong():
  with pytest.raises(AssertionError, match="broken snippet"):
    run_on_devices("raise ValueError('broken snippet')", 2)
  assert run_on_devices("print(json.dumps(jax.device_count()))", 2) == 2
