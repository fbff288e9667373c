"""What prediction needs of a run, read from the run's folder."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np

from causal_mlr_jax.confounders import build as confounders
from causal_mlr_jax.core import atomic_files
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.parameter_rules import path_of
from causal_mlr_jax.core.types import Cooccurrence, Side, Tree
from causal_mlr_jax.data.known_labels import UNKNOWN
from causal_mlr_jax.training import model as model_lib
from causal_mlr_jax.training import predict
from causal_mlr_jax.training.checkpoint import Checkpoints
from causal_mlr_jax.training.label_prototypes import no_prototypes
from causal_mlr_jax.workdir import Workdir

# Side inputs of single images; all others are the same for all images.
EXAMPLE_INPUTS = ("label_state",)
# Probability from which a label is predicted where none was tuned.
DEFAULT_THRESHOLD = 0.5


class Bundle(NamedTuple):
  """A trained model and all that it takes to apply it to an image.

  Attributes:
    config: The configuration of the run.
    labels: Names of the N labels, in the order of the scores.
    image_shape: Shape [H, W, 3] of an image after preprocessing.
    variables: Parameters and other collections of the model, on the host.
    side: Side inputs that are the same for all images, on the host.
    step: Step of the checkpoint.
    decisions: Thresholds and temperature, as in thresholds.json; None where
      none were tuned.
  """

  config: ml_collections.ConfigDict
  labels: tuple[str, ...]
  image_shape: tuple[int, int, int]
  variables: Tree
  side: Side
  step: int
  decisions: Mapping[str, Any] | None = None

  @property
  def preprocess(self) -> str:
    """The preprocessing of an image, see `data/preprocess/op_string.py`."""
    return self.config.data.preprocess_evaluate

  def example_inputs(self, count: int) -> dict[str, np.ndarray]:
    """Returns the side inputs of so many single images, by name.

    `label_state` [B, N] says that no label is known.
    """
    needs = model_lib.find_method(self.config.method.name).NEEDS
    shape = (count, len(self.labels))
    return {
      name: np.full(shape, UNKNOWN, np.int32)
      for name in EXAMPLE_INPUTS
      if name in needs
    }


def read_workdir(path: str) -> Bundle:
  """Reads the best checkpoint of a run and all that prediction needs.

  The training data are not needed, and the folder may have been moved.

  Args:
    path: Folder of a run.

  Raises:
    UserError: It is no such folder, or something is missing in it.
  """
  folder = Workdir(path)
  for file in (folder.config, folder.data):
    if not file.exists():
      raise UserError(
        f"{folder.path} is not the folder of a trained run: {file.name} is "
        "not there. Expected the --workdir of a training."
      )
  folder.check_has_checkpoint()
  config = as_config(atomic_files.read_json(folder.config))
  known = atomic_files.read_json(folder.data)
  if "image_shape" not in known:
    raise UserError(
      f"{folder.data} does not say how large images are: an earlier version "
      "wrote it. Run --mode=evaluate once with this --workdir, which adds it."
    )
  labels = tuple(known["labels"])
  checkpoints = Checkpoints(folder.checkpoints)
  step = checkpoints.best_step
  assert step is not None  # there is a checkpoint
  fields = predict.evaluation_fields(config.evaluate.use_ema)
  found = checkpoints.read(step, fields)
  params, rest = (found[field] for field in fields)
  bundle = Bundle(
    config,
    labels,
    tuple(known["image_shape"]),
    {"params": params, **rest},
    _side_inputs(folder, config, labels),
    step,
    atomic_files.read_json(folder.thresholds)
    if folder.thresholds.exists()
    else None,
  )
  check_variables(bundle)
  check_decisions(bundle, folder.thresholds)
  return bundle


def as_config(values: Mapping[str, Any]) -> ml_collections.ConfigDict:
  """Returns a configuration from JSON values; lists become tuples."""

  def plain(value: Any) -> Any:
    if isinstance(value, Mapping):
      return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
      return tuple(plain(entry) for entry in value)
    return value

  return ml_collections.ConfigDict(plain(values)).lock()


def make_model(bundle: Bundle) -> model_lib.Model:
  """Returns the model of a bundle."""
  return model_lib.make_model(bundle.config, len(bundle.labels))


def check_variables(bundle: Bundle) -> None:
  """Compares the variables with those that the model declares.

  Raises:
    UserError: Some are missing, unknown or of another shape.
  """
  side = dict(bundle.side) | bundle.example_inputs(model_lib.EXAMPLES)
  init = functools.partial(
    model_lib.init_variables, make_model(bundle), side, bundle.image_shape, 0
  )

  def shapes(tree: Tree) -> dict[str, tuple[int, ...]]:
    flat = jax.tree_util.tree_leaves_with_path(tree)
    return {path_of(path): tuple(x.shape) for path, x in flat}

  wanted, got = shapes(jax.eval_shape(init)), shapes(bundle.variables)
  for name in sorted(wanted.keys() | got.keys()):
    if wanted.get(name) != got.get(name):
      raise UserError(
        f"The weights are of another model: {name} has the shape "
        f"{got.get(name, 'absent')}, and the configuration's model "
        f"{wanted.get(name, 'none')}."
      )


def check_decisions(bundle: Bundle, path: pathlib.Path) -> None:
  """Checks that each label has a threshold, and that there is a temperature.

  Args:
    bundle: The model.
    path: The file that they were read from, for messages.

  Raises:
    UserError: Some are missing or no numbers.
  """
  if bundle.decisions is None:
    return
  try:
    known = bundle.decisions["labels"]
    numbers = {name: known[name]["threshold"] for name in bundle.labels}
    numbers["temperature"] = bundle.decisions["temperature"]
    wrong = [k for k, v in numbers.items() if not isinstance(v, (int, float))]
  except (KeyError, TypeError) as error:
    wrong = [str(error)]
  if wrong:
    raise UserError(
      f"{path} must have a number as the temperature and as the threshold of "
      f"each of the {len(bundle.labels)} labels; wrong or missing: "
      f"{', '.join(wrong[:5])}. Restore the file; --mode=evaluate of the run "
      "tunes thresholds again."
    )


def _side_inputs(
  folder: Workdir, config: ml_collections.ConfigDict, labels: tuple[str, ...]
) -> dict[str, Any]:
  """Returns the method's shared side inputs from the files of a run."""
  needs = model_lib.find_method(config.method.name).NEEDS
  side: dict[str, Any] = {}
  if "confounders" in needs:
    built = confounders.load(folder.confounders, config.confounders.prior)
    if built is None:
      raise UserError(
        f"The method {config.method.name!r} needs confounders, and "
        f"{folder.confounders} has none: the folder of the run is not whole. "
        "Copy it again with all that is in it."
      )
    side["confounders"] = built.confounders
  if "cooccurrence" in needs:
    arrays = atomic_files.read_arrays(folder.cooccurrence)
    side["cooccurrence"] = Cooccurrence(**arrays)
  if "label_embeddings" in needs:
    arrays = atomic_files.read_arrays(folder.label_embeddings)
    side["label_embeddings"] = arrays["embeddings"]
  if "label_prototypes" in needs:
    side["label_prototypes"] = no_prototypes(config.backbone, len(labels))
  return side
