"""The modes of a model's folder: predict, explain, export, report, info."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from causal_mlr_jax.core import lookup, progress
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.inference import (
  explanation_files,
  prediction_files,
  trained_model,
)
from causal_mlr_jax.inference.export import write_folder
from causal_mlr_jax.inference.request import Request
from causal_mlr_jax.stages.report import card, run_page
from causal_mlr_jax.workdir import Workdir


def use(workdir: str, mode: str, request: Request) -> None:
  """Runs a mode that needs nothing but the folder of a trained run.

  Args:
    workdir: The run's folder.
    mode: One of `USES`.
    request: What is asked.

  Raises:
    UserError: The folder is none of a run, or the request cannot be met.
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
  default = str(Workdir(workdir).path / "export")
  output = write_folder.check_output(request.output or default)
  bundle = trained_model.read_bundle(workdir)
  files = write_folder.write(bundle, output, request.format)
  progress.say(f"exported: {', '.join(files)} in {output}")


def write_page(workdir: str, request: Request) -> None:
  """Writes the page of a run from its folder."""
  del request  # the run's folder says everything
  run_page.rewrite(workdir)


def info(workdir: str, request: Request) -> None:
  """Prints the model card of a run."""
  del request  # the folder says all
  print(card.of_run(Workdir(workdir)), end="")


USES: Mapping[str, Callable[[str, Request], None]] = MappingProxyType(
  {
    "predict": predict,
    "explain": explain,
    "export": export,
    "report": write_page,
    "info": info,
  }
)
