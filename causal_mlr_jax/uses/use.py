"""The modes of a model's folder: predict, explain, export, report, info."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from causal_mlr_jax.core import lookup, progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.inference import (
  explanation_files,
  exported_model,
  prediction_files,
  trained_model,
)
from causal_mlr_jax.inference.export import write_folder
from causal_mlr_jax.inference.request import Request
from causal_mlr_jax.stages.report import card, run_page
from causal_mlr_jax.workdir import Workdir


def use(workdir: str, mode: str, request: Request) -> None:
  """Runs a mode that needs nothing but the folder of a trained model.

  Args:
    workdir: Folder of a run or, but for 'report', of an exported model.
    mode: One of `USES`.
    request: What is asked.

  Raises:
    UserError: The folder is none of these, or the request cannot be met.
  """
  USES[mode](workdir, request)


def predict(workdir: str, request: Request) -> None:
  """Writes the labels of images to a file."""
  default = str(Workdir(workdir).path / "predictions.jsonl")
  output = prediction_files.check_output(request.output or default)
  images = request.paths("predict")
  count = prediction_files.write_predictions(
    trained_model.load(workdir),
    images,
    output,
    top_k=request.top_k,
    calibrated=request.calibrated,
  )
  progress.say(f"predictions of {count:,} image(s): {output}")


def explain(workdir: str, request: Request) -> None:
  """Writes where each label was seen in images, as pictures and as JSON."""
  default = str(Workdir(workdir).path / "explanations")
  output = explanation_files.check_output(request.output or default)
  if request.calibrated:
    raise UserError(
      "--calibrated is for --mode=predict: the parts that --mode=explain shows "
      "have no temperature of their own. Leave it out."
    )
  images = request.paths("explain")
  count = explanation_files.write_explanations(
    trained_model.load(workdir), images, output, top_k=request.top_k
  )
  progress.say(f"explanations of {count:,} image(s): {output}")


def export(workdir: str, request: Request) -> None:
  """Writes the model for other programs."""
  lookup.check_name("format", request.format, write_folder.FORMATS)
  if request.calibrated:
    raise UserError(
      "--calibrated is for --mode=predict: an exported model has its "
      "temperature in model.json. Leave it out."
    )
  folder = Workdir(workdir)
  output = write_folder.check_output(
    request.output or str(folder.path / "export")
  )
  bundle = trained_model.read_bundle(workdir)
  # An exported model may have lost its card, which cannot be made anew.
  known = folder.model_card.exists() or not _is_exported(folder)
  text = card.of_run(folder) if known else ""
  files = write_folder.write(bundle, output, request.format, text)
  for name, what in files.items():
    size = (output / name).stat().st_size
    progress.say(f"export: {name}, {-(-size // 1024):,} KiB: {what}")
  progress.say(f"exported to {output}")


def write_page(workdir: str, request: Request) -> None:
  """Writes the page of a run from its folder."""
  del request  # the run's folder says everything
  if _is_exported(Workdir(workdir)):
    raise UserError(
      f"{workdir} is an exported model: a page needs the folder of the run. "
      "Set --workdir to that, or use --mode=info."
    )
  run_page.rewrite(workdir)


def info(workdir: str, request: Request) -> None:
  """Prints the model card of a run or of an exported model."""
  del request  # the folder says all
  print(card.of_run(Workdir(workdir)), end="")


def _is_exported(folder: Workdir) -> bool:
  return exported_model.looks_exported(folder.path)


USES: Mapping[str, Callable[[str, Request], None]] = MappingProxyType(
  {
    "predict": predict,
    "explain": explain,
    "export": export,
    "report": write_page,
    "info": info,
  }
)
