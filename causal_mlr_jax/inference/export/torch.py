"""The weights under the keys of the method's published program."""

from __future__ import annotations

import pathlib

import safetensors.numpy

from causal_mlr_jax.core import atomic_files
from causal_mlr_jax.inference.bundle import Bundle
from causal_mlr_jax.training import model as model_lib
from causal_mlr_jax.weights import init_from, label_order
from causal_mlr_jax.weights.mapping import published_methods, to_published

FILE = "torch.safetensors"
WHAT = (
  "weights under the keys of the method's published PyTorch program, without "
  "arrays that it computes itself; read it again with --config.init_from"
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
