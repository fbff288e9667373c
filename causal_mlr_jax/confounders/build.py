"""Builds confounders once, and records what they were made from."""

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
from causal_mlr_jax.confounders import image_sets as images_lib
from causal_mlr_jax.confounders import kinds_of_confounders as kinds
from causal_mlr_jax.confounders.features import (
  Network,
  Positions,
  extract,
  map_size,
  shares,
)
from causal_mlr_jax.confounders.image_sets import Images, Split
from causal_mlr_jax.core import atomic_files, parallel, progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.fingerprint import fingerprint
from causal_mlr_jax.core.lookup import check_name
from causal_mlr_jax.core.types import Confounders, Tree
from causal_mlr_jax.data import pipeline
from causal_mlr_jax.data.dataset import parse_split

ARRAYS, PROVENANCE = "confounders.npz", "provenance.json"


class Built(NamedTuple):
  """Confounders as stored on disk.

  Attributes:
    confounders: Centres [K, C] and prior [K], numpy arrays; for clusters, both
      come from the clustered positions, which may be a sample.
    context_share: Share of each confounder in all positions of each training
      example, [examples, K], whatever images the confounders were made from.
    provenance: What they were made from and how, JSON-serialisable.
  """

  confounders: Confounders
  context_share: np.ndarray
  provenance: Mapping[str, Any]


def check(config: ml_collections.ConfigDict, mesh: Mesh) -> None:
  """Checks the section `confounders` before anything is computed.

  Raises:
    UserError: The kind, prior, choice of data or backbone is unknown, a number
      is invalid, or label prototypes are requested for images without labels.
  """
  check_name("confounders.kind", config.kind, kinds.KINDS)
  check_name("confounders.prior", config.prior, kinds.PRIORS)
  check_name("confounders.data", config.data, images_lib.DATA)
  if config.kind == "label" and config.data != "source":
    raise UserError(
      f"confounders.kind='label' with confounders.data={config.data!r}: a "
      "prototype of a label needs labels, and those of the test images are not "
      "read. Use confounders.data='source', or another kind, such as 'kmeans'."
    )
  for split in config.target_splits:
    parse_split(split)
  backbones.find(config.backbone.name)
  if config.num < 1:
    raise UserError(
      f"confounders.num = {config.num}: expected at least 1 confounder."
    )
  parallel.check_divides("confounders.batch_size", config.batch_size, mesh)


def fingerprint_of(
  config: ml_collections.ConfigDict, images: Images, weights: str
) -> str:
  """Returns the fingerprint of everything that the confounders are made from.

  Args:
    config: The section `confounders`.
    images: The images to choose from.
    weights: Identifier of the frozen network's weights.

  Raises:
    UserError: The network has no such layer.
  """
  # The prior is applied on reading, the batch size has no effect, and `images`
  # identifies the images.
  left_out = ("prior", "batch_size", "data", "target_splits")
  section = {k: v for k, v in config.to_dict().items() if k not in left_out}
  # If positions are sampled, earlier versions took the shares over the sample.
  shares_of = {"shares": "all positions"} if _is_sampled(config, images) else {}
  return fingerprint(
    confounders=section,
    data=images.train.dataset.fingerprint,
    split=images.train.name,
    preprocess=images.preprocess,
    weights=weights,
    **images.identity(),
    **shares_of,
  )


def build(
  config: ml_collections.ConfigDict,
  images: Images,
  backbone_variables: Tree,
  mesh: Mesh,
  directory: pathlib.Path,
  provenance: Mapping[str, Any],
) -> None:
  """Computes features, fits the confounders and writes them.

  The provenance is written last, as the sign that the other file is complete.
  The first process writes, to a disk that all processes share.

  Args:
    config: The section `confounders`.
    images: The images to choose from.
    backbone_variables: Variables of the frozen network.
    mesh: The device mesh, from `parallel.make_mesh`.
    directory: Folder to write to.
    provenance: What is known of the sources, including `fingerprint`.
  """
  chosen = images.chosen()
  network = network_of(config, backbone_variables)
  positions = _positions(config, network, chosen, images.preprocess, mesh)
  fitted = kinds.fit(
    config.kind,
    positions,
    config.num,
    max_iterations=config.max_iterations,
    tolerance=config.tolerance,
    seed=config.seed,
    mesh=mesh,
  )
  notes = fitted.notes | _taken_from(config, chosen.size)
  share = _shares(config, network, images, positions, fitted.centres, mesh)
  with parallel.wait_for_all():
    if jax.process_index() == 0:
      atomic_files.write_arrays(
        directory / ARRAYS,
        centres=fitted.centres,
        share=fitted.share,
        context_share=share,
      )
      atomic_files.write_json(directory / PROVENANCE, dict(provenance) | notes)


def network_of(
  config: ml_collections.ConfigDict, backbone_variables: Tree
) -> Network:
  """Returns the frozen network whose features are clustered.

  Args:
    config: The section `confounders`.
    backbone_variables: Variables of the network.
  """
  module = backbones.find(config.backbone.name)
  return Network(
    backbones.make(config.backbone, None, jnp.float32),
    backbone_variables,
    module.MEAN,
    module.STD,
    config.early_layer if config.kind == "early" else config.layer,
    config.image_size,
  )


def _drawn(config: ml_collections.ConfigDict, size: int) -> tuple[int, int]:
  """Returns the numbers of positions drawn from each map and in each map.

  Args:
    config: The section `confounders`.
    size: Number of images that share `max_positions`.
  """
  of = map_size(network_of(config, {}))
  return min(of, max(1, config.max_positions // size)), of


def _is_sampled(config: ml_collections.ConfigDict, images: Images) -> bool:
  """Returns whether only a sample of the training images' positions is kept."""
  shared = images.train if images.data == "target" else images.chosen()
  drawn, of = _drawn(config, shared.size)
  return drawn < of


def _taken_from(config: ml_collections.ConfigDict, size: int) -> dict[str, Any]:
  """Returns which positions were read, for the provenance; reports sampling.

  Args:
    config: The section `confounders`.
    size: Number of clustered images.
  """
  drawn, of = _drawn(config, size)
  if config.kind == "label":
    drawn = of  # the means of the maps include all positions
  if drawn < of:
    progress.say(
      f"confounders: fitted to {drawn} of {of} positions of each image "
      f"(confounders.max_positions = {config.max_positions:,} in total); the "
      "shares in each training image use all positions"
    )
  return {
    "positions_per_image": drawn,
    "positions_of_map": of,
    "context_share_of": "all positions",
  }


def _positions(
  config: ml_collections.ConfigDict,
  network: Network,
  split: Split,
  preprocess: str,
  mesh: Mesh,
) -> Positions:
  """Returns positions of a split, at most `max_positions` in total."""
  drawn, of = _drawn(config, split.size)
  # A prototype needs only the mean of each image over all its positions.
  count = None if config.kind == "label" and drawn < of else drawn
  batches = pipeline.evaluation_batches(*split, preprocess, config.batch_size)
  return extract(network, batches, split.size, count, config.seed, mesh)


def _shares(
  config: ml_collections.ConfigDict,
  network: Network,
  images: Images,
  positions: Positions,
  centres: np.ndarray,
  mesh: Mesh,
) -> np.ndarray:
  """Returns the shares over all positions of training images, [examples, K].

  If only a sample of positions is kept, the network is run a second time.
  """
  train, preprocess = images.train, images.preprocess
  if _is_sampled(config, images):
    batches = pipeline.evaluation_batches(*train, preprocess, config.batch_size)
    own = shares(network, batches, train.size, centres, mesh)
  else:
    if images.data == "target":
      positions = _positions(config, network, train, preprocess, mesh)
    own = kinds.context_share(positions, centres)
  # The training images come first, in blocks by process.
  return parallel.to_host(own)[: train.size]


def load(directory: pathlib.Path, prior: str) -> Built | None:
  """Reads confounders; returns None if there are none.

  Args:
    directory: Folder that `build` wrote to.
    prior: 'share', the share of each confounder, or 'uniform'.
  """
  if not (directory / PROVENANCE).exists():
    return None
  provenance = atomic_files.read_json(directory / PROVENANCE)
  arrays = atomic_files.read_arrays(directory / ARRAYS)
  share = arrays["share"]
  if prior == "uniform":
    share = np.full_like(share, 1 / len(share))
  return Built(
    Confounders(arrays["centres"], share), arrays["context_share"], provenance
  )


def copy(source: pathlib.Path, target: pathlib.Path) -> None:
  """Copies confounders to another folder; the provenance is copied last."""
  for name in (ARRAYS, PROVENANCE):
    with atomic_files.replacing(target / name) as file:
      file.write((source / name).read_bytes())
