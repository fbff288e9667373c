"""What ml_collections.config_flags does not annotate, as far as it is used."""

from collections.abc import Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict

def DEFINE_config_file(
  name: str,
  default: str | None = ...,
  help_string: str = ...,
  flag_values: flags.FlagValues = ...,
  sys_argv: Sequence[str] | None = ...,
) -> flags.FlagHolder[ConfigDict]: ...
def get_config_filename(config_flag: flags.Flag[Any]) -> str: ...
