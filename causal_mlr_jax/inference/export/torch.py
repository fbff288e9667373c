"""The weights under the keys of the method's published program."""

from __future__ import annotations

import pathlib

import safetensors.numpy

from causal_mlr_jax.core import atomic_files
from causal_mlr_jax.inference.bundle import Bundle
from causal_mlr_jax.nn.heads.published_variant import PUBLISHED
from causal_mlr_jax.training import model as model_lib
from causal_mlr_jax.weights import init_from, label_order
from causal_mlr_jax.weights.mapping import published_methods, to_published

FILE = "torch.safetensors"


def what(bundle: Bundle) -> str:
  """Returns what the file is, and how to read it again."""
  method, data = bundle.config.method, bundle.config.data.name
  flags, note = ["--config.init_from=FILE"], ""
  variant = method.get("variant", PUBLISHED)
  if variant != PUBLISHED:
    # Without the flag, published weights are read as those of 'published'.
    flags.append(f"--config.method.variant={variant}")
    note = (
      f"; the model is of the variant {variant!r}, so the published program "
      "computes other scores with them"
    )
  if data != init_from.ORDERED_DATA:
    flags.append("--config.init_label_order=dataset")
  return (
    "weights under the keys of the method's published PyTorch program, without "
    f"arrays that it computes itself; read them with {' '.join(flags)}{note}"
  )


def check(bundle: Bundle) -> None:
  """Checks that there is a published layout.

  Raises:
    UserError: There is none.
  """
  to_published.check(bundle.config.method.name, bundle.config.backbone.name)


def write(bundle: Bundle, path: pathlib.Path) -> None:
  """Writes the weights.

  The labels are in the data set's order, and for COCO in that of the published
  checkpoints, which `init_from` expects.

  Args:
    bundle: The model.
    path: The file.

  Raises:
    UserError: There is no published layout, or it lacks a variable.
  """
  check(bundle)
  config, variables = bundle.config, bundle.variables
  layout = published_methods.layout_of(config.method.name)
  coco = config.data.name == init_from.ORDERED_DATA
  if coco and layout.LABEL_ORDER == "alphabetical":
    side = dict(bundle.side) | bundle.example_inputs(model_lib.EXAMPLES)
    axes = label_order.label_axes(config, len(bundle.labels), side)
    variables = label_order.reorder(
      variables, axes, bundle.labels, sorted(bundle.labels)
    )
  arrays = to_published.state_dict(config.method.name, variables)
  metadata = {"format": "pt", "variant": str(config.method.get("variant", ""))}
  with atomic_files.replacing(path) as file:
    file.write(safetensors.numpy.save(arrays, metadata))
