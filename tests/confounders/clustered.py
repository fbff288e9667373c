"""What K-means gives on all devices of a process."""

import jax
import numpy as np

from causal_mlr_jax.confounders.kmeans import assign, kmeans
from causal_mlr_jax.core.parallel import make_mesh, shard


def clustered():
  """Returns what there is to compare, by name."""
  rng = np.random.default_rng(0)
  # 1001 rows: padded on eight devices.
  features = rng.gamma(1, size=(1001, 6)).astype(np.float32)
  mesh = make_mesh()
  result = kmeans(features, mesh, 10, jax.random.key(4))
  far = np.full((4, 6), 1e3, np.float32)
  far[0] = 0
  moved = kmeans(features, mesh, 4, jax.random.key(0), init_centres_KC=far)
  few = kmeans(features[:3], mesh, 2, jax.random.key(1))
  whole = kmeans(shard(features[:1000], mesh), mesh, 3, jax.random.key(2))
  return {
    "centres": result.centres_KC.tolist(),
    "counts": result.counts_K.tolist(),
    "history": result.history,
    "moved": moved.centres_KC.tolist(),
    "few": few.centres_KC.tolist(),
    "whole": whole.centres_KC.tolist(),
    "index": assign(features, result.centres_KC).tolist(),
  }
