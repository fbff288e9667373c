"""What the program does, by name."""

from types import MappingProxyType

MODES = MappingProxyType(
  {
    "train": "everything: prepare data and confounders, train, evaluate, "
    "report",
    "prepare": "check and convert the data set, and stop",
    "audit": "find the labels that lean on a context, and stop",
    "confounders": "prepare data and confounders, and stop",
    "import": "make a checkpoint of the weights in --config.init_from, and "
    "stop",
    "evaluate": "score the best checkpoint of the workdir and report",
    "effects": "measure which labels raise which others, and what scores lean "
    "on",
  }
)
# They work on a trained run: of data and side inputs, they need the same.
ON_A_RUN = ("evaluate", "effects")
