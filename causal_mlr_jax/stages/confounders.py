"""The confounders of a run: chosen images, built once, cached with the data."""

from __future__ import annotations

import dataclasses
import pathlib

import jax
import ml_collections
from jax.sharding import Mesh

from causal_mlr_jax.confounders import build as confounders_lib
from causal_mlr_jax.confounders.image_sets import Images, Split
from causal_mlr_jax.core import atomic_files, parallel, progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.dataset import Dataset
from causal_mlr_jax.stages import transfer
from causal_mlr_jax.stages.data import open_dataset
from causal_mlr_jax.stages.experiment import Experiment, timed
from causal_mlr_jax.weights import backbone_weights
from causal_mlr_jax.workdir import as_json


def check(config: ml_collections.ConfigDict, mesh: Mesh) -> None:
  """Checks the section `confounders` of the configuration.

  Raises:
    UserError: a value that cannot be, or images of the test are asked for
      and none are named.
  """
  section = config.confounders
  confounders_lib.check(section, mesh)
  named = transfer.is_set(config) or section.target_splits
  if section.data != "source" and not named:
    raise UserError(
      f"confounders.data={section.data!r} needs images that are tested on, "
      "and none are named; expected another data set to test on, "
      "--config.transfer.name, or splits of this one, such as "
      "--config.confounders.target_splits=\"('test',)\". Name them, or use "
      "confounders.data='source'."
    )


def images_of(
  config: ml_collections.ConfigDict, dataset: Dataset, reuse_only: bool
) -> Images:
  """Returns the images that the confounders are made from.

  Args:
    config: The configuration, see `configs/common.py`.
    dataset: The data set that is trained on, prepared.
    reuse_only: Whether preparing data is forbidden.

  Raises:
    UserError: there is no such split, or the data tested on are not there.
  """
  section = config.confounders
  other, splits = dataset, section.target_splits
  if section.data == "source":
    splits = ()
  elif transfer.is_set(config):
    splits = config.transfer.test_splits
    other = open_dataset(config.transfer, splits, not reuse_only)
    other = dataclasses.replace(other, reading=dataset.reading)
  for split in splits:
    other.source(split)  # a wrong name fails now, not after hours of features
  return Images(
    section.data,
    Split(dataset, config.data.train_split),
    tuple(Split(other, split) for split in splits),
    config.data.preprocess_evaluate,
  )


def prepare(experiment: Experiment, dataset: Dataset) -> confounders_lib.Built:
  """Returns the confounders, and builds them if the workdir lacks them.

  Args:
    experiment: Settings of the run.
    dataset: The data set that is trained on, prepared.

  Returns:
    The confounders; their provenance names the images.

  Raises:
    UserError: as `check` and `images_of`, or none fit where none may be made.
  """
  config, section = experiment.config, experiment.config.confounders
  check(config, experiment.mesh)
  with timed(experiment, "confounders"):
    weights = backbone_weights.source(section.backbone)
    images = images_of(config, dataset, experiment.reuse_only)
    key = confounders_lib.fingerprint_of(section, images, weights)
    folder = experiment.workdir.confounders

    def fit() -> bool:
      found = _fingerprint_in(folder)
      if found not in (key, None):
        progress.say("confounders: made from other inputs, building them anew")
      return found == key

    if not parallel.decided_by_first(fit):
      if experiment.reuse_only:
        raise UserError(
          f"The method {config.method.name!r} needs confounders, and "
          f"{folder} has none that fit; make them with --mode=confounders, or "
          "train with --mode=train."
        )
      _build(experiment, images, weights, key)
    built = confounders_lib.load(folder, section.prior)
  assert built is not None  # they were there, or have just been made
  # Files of an earlier version do not name the images.
  named = dict(built.provenance) | {"images": images.described()}
  return built._replace(provenance=named)


def _fingerprint_in(folder: pathlib.Path) -> str | None:
  """Returns the fingerprint of the confounders in a folder, None without."""
  path = folder / confounders_lib.PROVENANCE
  return atomic_files.read_json(path)["fingerprint"] if path.exists() else None


def _build(
  experiment: Experiment, images: Images, weights: str, key: str
) -> None:
  """Builds confounders in the data folder's cache and copies them here."""
  config, section = experiment.config, experiment.config.confounders
  folder = pathlib.Path(config.data.dir).expanduser().absolute()
  cache = folder / "confounders" / key
  if not parallel.decided_by_first(lambda: _fingerprint_in(cache) == key):
    progress.say(f"confounders: of {images.described()}")
    confounders_lib.build(
      section,
      images,
      backbone_weights.frozen_variables(section.backbone, section.image_size),
      experiment.mesh,
      cache,
      {
        "fingerprint": key,
        "weights": weights,
        "images": images.described(),
        "data": images.train.dataset.fingerprint,
        "config": as_json(section),
      }
      | images.identity(),
    )
  with parallel.wait_for_all():
    if jax.process_index() == 0:
      confounders_lib.copy(cache, experiment.workdir.confounders)
