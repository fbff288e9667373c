"""What the program does, by name.

`run.py` holds a function for each mode, and `uses/use.py` for those that need
the folder of a trained run alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Mode(NamedTuple):
  """What is known of a mode before anything is read.

  Attributes:
    does: in words, for --help.
    on_a_run: it works on a trained run: nothing is prepared or trained, and
      the data and side inputs are those that the run was trained with.
    of_a_folder: it needs nothing but a workdir: no configuration, no data.
  """

  does: str
  on_a_run: bool = False
  of_a_folder: bool = False


MODES: Mapping[str, Mode] = MappingProxyType(
  {
    "train": Mode(
      "everything: prepare data and confounders, train, evaluate, report"
    ),
    "prepare": Mode("check and convert the data set, and stop"),
    "audit": Mode("find the labels that lean on a context, and stop"),
    "confounders": Mode("prepare data and confounders, and stop"),
    "import": Mode(
      "make a checkpoint of the weights in --config.init_from, and stop"
    ),
    "evaluate": Mode(
      "score the best checkpoint of the workdir and report", on_a_run=True
    ),
    "effects": Mode(
      "measure which labels raise which others, and what scores lean on",
      on_a_run=True,
    ),
    "predict": Mode(
      "write the labels of --images to --output, by the model in --workdir",
      of_a_folder=True,
    ),
    "explain": Mode(
      "write where each label was seen in --images to the folder --output",
      of_a_folder=True,
    ),
    "report": Mode(
      "write report/index.html, the page of the run in --workdir, once more",
      of_a_folder=True,
    ),
    "info": Mode("print the model card of --workdir", of_a_folder=True),
    "export": Mode(
      "write the model in --workdir to the folder --output, see --format",
      of_a_folder=True,
    ),
  }
)
