"""A trained model that is applied to images."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jax.sharding import Mesh

from causal_mlr_jax.core import parallel
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.types import Array, Output, Tree
from causal_mlr_jax.data import read_options
from causal_mlr_jax.inference import bundle as bundle_lib
from causal_mlr_jax.inference import explanation, exported_model
from causal_mlr_jax.inference.image_batches import ImageLike, ImageReader
from causal_mlr_jax.training import model as model_lib


class Prediction(NamedTuple):
  """What a model says of B images.

  Attributes:
    probabilities: Probability of each label, float32 [B, N].
    parts: The same of each part of the method, by name; for `causal`, of the
      `decoupled` and the `causal` head.
    index: Place of each image among those given, int [B].
  """

  probabilities: np.ndarray
  parts: Mapping[str, np.ndarray]
  index: np.ndarray


class TrainedModel:
  """A trained model in hand.

  Attributes:
    bundle: What it was read from.
  """

  def __init__(
    self, bundle: bundle_lib.Bundle, mesh: Mesh | None = None
  ) -> None:
    """Puts the model on the devices.

    Args:
      bundle: A bundle, for example of `read_workdir`.
      mesh: The device mesh; None for all devices.
    """
    self.bundle = bundle
    self._mesh = parallel.make_mesh() if mesh is None else mesh
    self._variables, self._side = parallel.replicate(
      (bundle.variables, dict(bundle.side)), self._mesh
    )

  @functools.cached_property
  def _apply(self) -> Callable[..., dict[str, Array]]:
    return self._compiled(make_apply(self.bundle))

  @functools.cached_property
  def _apply_with_maps(self) -> Callable[..., dict[str, Array]]:
    return self._compiled(make_apply(self.bundle, maps=True))

  def _compiled(self, apply: Callable[..., Any]) -> Callable[..., Any]:
    whole, split = parallel.REPLICATED, parallel.SHARDED
    return parallel.pmapped(
      apply, self._mesh, (whole, split, split, whole), split
    )

  @property
  def labels(self) -> tuple[str, ...]:
    """Names of the N labels, in the order of all results."""
    return self.bundle.labels

  @property
  def thresholds(self) -> np.ndarray | None:
    """Probabilities [N] from which a label is predicted; None if not tuned."""
    decisions = self.bundle.decisions
    if decisions is None:
      return None
    found = [decisions["labels"][name]["threshold"] for name in self.labels]
    return np.asarray(found, np.float32)

  @property
  def temperature(self) -> float:
    """The number that logits are divided by to calibrate them; 1 if none."""
    decisions = self.bundle.decisions
    return 1.0 if decisions is None else float(decisions["temperature"])

  def predict(
    self,
    images: ImageLike | Sequence[ImageLike],
    *,
    batch_size: int | None = None,
    calibrated: bool = False,
  ) -> Prediction:
    """Returns the probability of each label in each image.

    Args:
      images: One image or several, of any size: paths, encoded bytes, images of
        Pillow, or uint8 pixels [H, W, 3]. They are preprocessed as those of the
        run's evaluation.
      batch_size: Number of images that are computed at once; None for the
        number of the run's evaluation, or fewer.
      calibrated: Whether to divide the logits by the temperature that was
        fitted on the validation images.

    Raises:
      UserError: An image cannot be read.
    """
    if isinstance(images, (str, bytes)) or not isinstance(images, Sequence):
      single = not (isinstance(images, np.ndarray) and images.ndim == 4)
      images = [cast(ImageLike, images)] if single else list(cast(Any, images))
    reader = self.reader()
    parts = list(
      self.predict_batches(
        reader, images, batch_size=batch_size, calibrated=calibrated
      )
    )
    if reader.problems:
      index = min(reader.problems)
      raise UserError(f"Image {index}: {reader.problems[index]}")
    if not parts:
      return Prediction(
        np.zeros((0, len(self.labels)), np.float32), {}, np.zeros(0, int)
      )
    return jax.tree.map(lambda *each: np.concatenate(each), *parts)

  def reader(self) -> ImageReader:
    """Returns what reads images for this model."""
    return ImageReader(self.bundle.preprocess, self.bundle.image_shape)

  def predict_batches(
    self,
    reader: ImageReader,
    images: Sequence[ImageLike],
    *,
    batch_size: int | None = None,
    calibrated: bool = False,
    reading: read_options.Reading = read_options.DEFAULT,
  ) -> Iterator[Prediction]:
    """Iterates over predictions; images that cannot be read are left out.

    Args:
      reader: A reader of `reader`, which collects what could not be read.
      images: Images.
      batch_size: See `predict`.
      calibrated: See `predict`.
      reading: Threads and memory for reading.
    """
    size = self._batch_size(len(images), batch_size)
    batches = reader.batches(images, size, reading)
    scale = self.temperature if calibrated else 1.0
    for found, batch in self._outputs(self._apply, size, batches):
      logits, probabilities = found.pop("logits"), found.pop("scores")
      if scale != 1:
        probabilities = scipy.special.expit(logits / scale)
      yield Prediction(probabilities, found, batch["index"])

  def explain(self, image: ImageLike) -> explanation.Explanation:
    """Returns what the model saw of each label in an image, and where.

    Args:
      image: An image of any size, see `predict`.

    Raises:
      UserError: The image cannot be read.
    """
    reader = self.reader()
    found = list(self.explain_images(reader, [image]))
    if reader.problems:
      raise UserError(reader.problems[0])
    return found[0][1]

  def explain_images(
    self,
    reader: ImageReader,
    images: Sequence[ImageLike],
    *,
    batch_size: int | None = None,
    reading: read_options.Reading = read_options.DEFAULT,
  ) -> Iterator[tuple[int, explanation.Explanation]]:
    """Iterates over images: their place, and what the model saw in them.

    Images that cannot be read are left out.

    Args:
      reader: A reader of `reader`, which collects what could not be read.
      images: Images.
      batch_size: See `predict`.
      reading: Threads and memory for reading.
    """
    size = self._batch_size(len(images), batch_size)
    batches = reader.batches(images, size, reading)
    outputs = self._outputs(self._apply_with_maps, size, batches)
    return explanation.of_outputs(self.bundle, self.thresholds, outputs)

  def _outputs(
    self,
    apply: Callable[..., dict[str, Array]],
    size: int,
    batches: Iterator[Mapping[str, np.ndarray]],
  ) -> Iterator[tuple[dict[str, np.ndarray], Mapping[str, np.ndarray]]]:
    """Iterates over outputs and batches on the host, without padding."""
    inputs = self.bundle.example_inputs(size)
    pending = None
    for batch in batches:
      image, extra = parallel.shard((batch["image"], inputs), self._mesh)
      output = apply(self._variables, image, extra, self._side)
      # One batch is computed while the previous one is fetched.
      if pending is not None:
        yield _fetched(*pending)
      pending = output, batch
    if pending is not None:
      yield _fetched(*pending)

  def _batch_size(self, images: int, asked: int | None) -> int:
    """Returns the number of images of a batch, a multiple of the devices."""
    devices = self._mesh.devices.size
    most = asked or self.bundle.config.evaluate.batch_size
    few = 1 << max(images - 1, 0).bit_length()  # so that few are compiled
    return -(-min(most, few) // devices) * devices


def load(path: str) -> TrainedModel:
  """Loads a trained model.

  Args:
    path: Folder of a run (its --workdir) or of an exported model, wherever it
      lies now.

  Raises:
    UserError: The folder is neither, or is damaged.
  """
  return TrainedModel(read_bundle(path))


def read_bundle(path: str) -> bundle_lib.Bundle:
  """Reads the folder of a run or of an exported model, see `load`."""
  folder = pathlib.Path(path).expanduser()
  if exported_model.looks_exported(folder):
    return exported_model.read(folder)
  return bundle_lib.read_workdir(str(path))


def make_apply(
  bundle: bundle_lib.Bundle, *, maps: bool = False
) -> Callable[..., dict[str, Array]]:
  """Returns a function from variables and images to outputs by name.

  It maps (variables, image [B, H, W, 3], inputs of each image, side inputs) to
  `logits` [B, N], `scores` [B, N], and the probabilities of each part.

  Args:
    bundle: The trained model.
    maps: Whether the outputs also have the `maps` [B, N, P] of the labels.
  """
  model = bundle_lib.make_model(bundle)
  method = model_lib.find_method(bundle.config.method.name)

  def apply(variables: Tree, image: Array, inputs: Any, side: Any) -> dict:
    output = cast(
      Output, model.apply(variables, image, {**side, **inputs}, train=False)
    )
    found = {"logits": output.logits, "scores": method.scores(output)}
    for name in getattr(method, "PARTS", ()):
      found[name] = jax.nn.sigmoid(output.aux[f"logits_{name}"])
    if maps:
      found["maps"] = output.aux["attention"].astype(jnp.float32)
    return found

  return apply


def _fetched(
  output: Mapping[str, Array], batch: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], Mapping[str, np.ndarray]]:
  keep = batch["mask"] > 0
  found = {k: np.asarray(v)[keep] for k, v in jax.device_get(output).items()}
  return found, {k: v[keep] for k, v in batch.items()}
