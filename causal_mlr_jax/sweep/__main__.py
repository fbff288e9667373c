"""The command `python -m causal_mlr_jax.sweep`, see `command.py`."""

import sys

from causal_mlr_jax.sweep.command import cli

sys.exit(cli(sys.argv))
