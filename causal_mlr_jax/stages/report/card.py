"""The model card of a run: read, or made of the files in its workdir."""

from __future__ import annotations

from causal_mlr_jax.core import atomic_files
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.reports import model_card
from causal_mlr_jax.workdir import Workdir


def of_run(folder: Workdir) -> str:
  """Returns the model card of a run, made anew if it has none.

  Raises:
    UserError: The folder is none of a run.
  """
  if folder.model_card.exists():
    return folder.model_card.read_text(encoding="utf-8")
  return model_card.make(read_facts(folder))


def write(folder: Workdir) -> None:
  """Writes the model card of a run, from the files that are there."""
  card = model_card.make(read_facts(folder))
  with atomic_files.replacing(folder.model_card) as file:
    file.write(card.encode(errors="backslashreplace"))


def read_facts(folder: Workdir) -> model_card.Facts:
  """Reads what the files of a run say.

  Raises:
    UserError: The folder is none of a run.
  """
  for file in (folder.config, folder.data):
    if not file.exists():
      raise UserError(
        f"{folder.path} is not the folder of a run: {file.name} is not there. "
        "Expected the --workdir of a training."
      )
  optional = (folder.report / "report.json", folder.thresholds)
  return model_card.Facts(
    atomic_files.read_json(folder.config),
    atomic_files.read_json(folder.data),
    *(atomic_files.read_json(p) if p.exists() else {} for p in optional),
    started_from=folder.read_started_from(),
  )
