"""Builds the confounders of a training set once, and remembers from what."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jax.sharding import Mesh

from causal_mlr_jax import backbones
from causal_mlr_jax.confounders import kinds
from causal_mlr_jax.confounders.features import Network, Positions, extract
from causal_mlr_jax.core import files, parallel
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.fingerprint import fingerprint
from causal_mlr_jax.core.lookup import unknown_name
from causal_mlr_jax.core.types import Confounders, Tree
from causal_mlr_jax.data import pipeline
from causal_mlr_jax.data.dataset import Dataset

ARRAYS, PROVENANCE = "confounders.npz", "provenance.json"


class Built(NamedTuple):
  """Confounders as they lie on disk.

  Attributes:
    confounders: centres [K, C] and prior [K], numpy.
    context_share: [examples, K], share of each confounder in each example.
    provenance: what they were made from and how, JSON-able.
  """

  confounders: Confounders
  context_share: np.ndarray
  provenance: Mapping[str, Any]


def check(config: ml_collections.ConfigDict, mesh: Mesh) -> None:
  """Checks the section `confounders` before anything is computed.

  Raises:
    UserError: an unknown kind, prior or backbone, or a wrong number.
  """
  if config.kind not in kinds.KINDS:
    raise unknown_name("confounders.kind", config.kind, kinds.KINDS)
  if config.prior not in kinds.PRIORS:
    raise unknown_name("confounders.prior", config.prior, kinds.PRIORS)
  backbones.find(config.backbone.name)
  if config.num < 1:
    raise UserError(
      f"confounders.num = {config.num}: expected at least 1 confounder."
    )
  parallel.check_divides("confounders.batch_size", config.batch_size, mesh)


def fingerprint_of(
  config: ml_collections.ConfigDict,
  dataset: Dataset,
  split: str,
  preprocess: str,
  weights: str,
) -> str:
  """Returns the fingerprint of what the confounders are made from.

  Args:
    config: the section `confounders`.
    dataset: the prepared data set.
    split: the training split.
    preprocess: of the images, before features are taken.
    weights: identifies the frozen network's weights.
  """
  # The prior is chosen on reading, the batch size changes nothing.
  left_out = ("prior", "batch_size")
  section = {k: v for k, v in config.to_dict().items() if k not in left_out}
  return fingerprint(
    confounders=section,
    data=dataset.fingerprint,
    split=split,
    preprocess=preprocess,
    weights=weights,
  )


def build(
  config: ml_collections.ConfigDict,
  dataset: Dataset,
  split: str,
  preprocess: str,
  backbone_variables: Tree,
  mesh: Mesh,
  directory: pathlib.Path,
  provenance: Mapping[str, Any],
) -> None:
  """Computes features, fits the confounders and writes them.

  The provenance is written last, as the sign that the rest is whole. Of
  several processes the first one writes, to a disk that all share.

  Args:
    config: the section `confounders`.
    dataset: the prepared data set.
    split: the training split.
    preprocess: of the images, without random choices.
    backbone_variables: of the frozen network.
    mesh: from `parallel.make_mesh`.
    directory: where to write.
    provenance: what is known of the sources, among it `fingerprint`.
  """
  positions = _positions(
    config, dataset, split, preprocess, backbone_variables, mesh
  )
  fitted = kinds.fit(
    config.kind,
    positions,
    config.num,
    max_iterations=config.max_iterations,
    tolerance=config.tolerance,
    seed=config.seed,
    mesh=mesh,
  )
  if jax.process_index() == 0:
    files.write_arrays(
      directory / ARRAYS,
      centres=fitted.centres,
      share=fitted.share,
      context_share=kinds.context_share(positions, fitted.centres),
    )
    files.write_json(directory / PROVENANCE, dict(provenance) | fitted.notes)
  parallel.barrier("confounders written")


def _positions(
  config: ml_collections.ConfigDict,
  dataset: Dataset,
  split: str,
  preprocess: str,
  backbone_variables: Tree,
  mesh: Mesh,
) -> Positions:
  module = backbones.find(config.backbone.name)
  batches = pipeline.evaluation_batches(
    dataset, split, preprocess, config.batch_size
  )
  network = Network(
    backbones.make(config.backbone, None, jnp.float32),
    backbone_variables,
    module.MEAN,
    module.STD,
    config.early_layer if config.kind == "early" else config.layer,
    config.image_size,
  )
  size = len(dataset.source(split))
  return extract(
    network, batches, size, config.max_positions, config.seed, mesh
  )


def load(directory: pathlib.Path, prior: str) -> Built | None:
  """Reads confounders, None where there are none.

  Args:
    directory: where `build` put them.
    prior: 'share', the clusters' shares, or 'uniform'.
  """
  if not (directory / PROVENANCE).exists():
    return None
  provenance = files.read_json(directory / PROVENANCE)
  arrays = files.read_arrays(directory / ARRAYS)
  share = arrays["share"]
  if prior == "uniform":
    share = np.full_like(share, 1 / len(share))
  return Built(
    Confounders(arrays["centres"], share), arrays["context_share"], provenance
  )


def copy(source: pathlib.Path, target: pathlib.Path) -> None:
  """Copies confounders to another folder, the provenance last."""
  for name in (ARRAYS, PROVENANCE):
    with files.replacing(target / name) as file:
      file.write((source / name).read_bytes())
