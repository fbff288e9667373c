"""Trains and evaluates a multi-label image recognition model.

  python -m causal_mlr_jax.main --config=configs/context_emoji.py
  python -m causal_mlr_jax.main --config=configs/context_emoji.py:q2l
  python -m causal_mlr_jax.main --config=... --config.confounders.num=60
  python -m causal_mlr_jax.main --mode=predict --workdir=RUN --images=PHOTOS

The same command with the same --workdir goes on where the last one stopped.
Exit codes: 0 done, 2 user error (the message explains it), 3 loss not finite,
130 interrupted, 143 stopped on request after saving.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence

from absl import flags, logging
from ml_collections import config_flags

from causal_mlr_jax.core import config_files, errors, parallel
from causal_mlr_jax.modes import MODES

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "A file in configs/; a method may follow after a colon."
)
_WORKDIR = flags.DEFINE_string(
  "workdir",
  None,
  "The run's folder; by default workdir/CONFIG-METHOD-SEED.",
)
_MODE = flags.DEFINE_enum(
  "mode",
  "train",
  list(MODES),
  " ".join(f"{name}: {mode.does}." for name, mode in MODES.items()),
)
_IMAGES = flags.DEFINE_string(
  "images",
  "",
  "Images to predict or explain: a folder, a pattern in quotes such as "
  "'photos/**/*.jpg', a .txt list with one path a line, or one image.",
)
_OUTPUT = flags.DEFINE_string(
  "output",
  "",
  "The file to write; by default predictions.jsonl in the workdir. Its ending, "
  ".jsonl or .csv, says how predictions are written. For --mode=explain and "
  "--mode=export, the folder to write into; by default explanations or export "
  "in the workdir.",
)
_TOP_K = flags.DEFINE_integer(
  "top_k",
  0,
  "Labels to write for each image; 0: all, decided by the labels' thresholds. "
  "For --mode=explain, labels to show; 0: those that reach their thresholds.",
)
_FORMAT = flags.DEFINE_string(
  "format",
  "all",
  "What --mode=export writes: safetensors (always), stablehlo, onnx, torch "
  "(the published program's keys), or all that can be had.",
)
_CALIBRATED = flags.DEFINE_bool(
  "calibrated",
  False,
  "Divide logits by the temperature that was fitted on the validation images.",
)
_DISTRIBUTED = flags.DEFINE_bool(
  "distributed",
  False,
  "Join the other processes under Slurm (one process per GPU), Cloud TPU or "
  "Kubernetes (one process per host).",
)


def main(_: list[str]) -> None:
  """Runs the program in the mode that the flags select."""
  logging.set_verbosity(logging.INFO if FLAGS.verbosity > 0 else -1)
  if _DISTRIBUTED.value:
    parallel.initialize()
  workdir, mode = _WORKDIR.value or default_workdir(), _MODE.value
  if MODES[mode].of_a_folder:
    from causal_mlr_jax.inference.request import Request
    from causal_mlr_jax.uses import use

    request = Request(
      _IMAGES.value,
      _OUTPUT.value,
      _TOP_K.value,
      _CALIBRATED.value,
      _FORMAT.value,
    )
    use.use(workdir, mode, request)
  else:
    from causal_mlr_jax import run

    run.run(_CONFIG.value, workdir, mode)


FLAGS = flags.FLAGS


def default_workdir() -> str:
  """Returns workdir/CONFIG-METHOD-SEED for the flags given."""
  config = _CONFIG.value
  name = pathlib.Path(config_flags.get_config_filename(FLAGS["config"])).stem
  return f"workdir/{name}-{config.method.name}-{config.seed}"


def parse_flags(argv: Sequence[str]) -> list[str]:
  """Parses the command line.

  Raises:
    UserError: A flag, key, value or configuration file is wrong.
  """
  try:
    rest = FLAGS(config_files.with_own_files(argv))
    if _CONFIG.value is not None:
      _CONFIG.value.keys()  # a missing file raises here, not when parsed
  except errors.FLAG_ERRORS as error:
    raise errors.UserError(_explain(error)) from error
  alone = MODES[_MODE.value].of_a_folder and _WORKDIR.value
  if _CONFIG.value is None and not alone:
    raise errors.UserError(
      "No configuration given: expected --config=FILE, for example "
      "--config=configs/context_emoji.py"
      + (
        ", or --workdir=FOLDER of a trained run."
        if MODES[_MODE.value].of_a_folder
        else "."
      )
    )
  if len(rest) > 1:
    raise errors.UserError(
      f"Unexpected argument(s) {' '.join(rest[1:])!r}: flags begin with --."
    )
  return rest


def _explain(error: BaseException) -> str:
  """Returns the message of an error without the traceback that absl adds."""
  deepest: BaseException | None = error
  mistake = None
  while deepest is not None:
    mistake = deepest if isinstance(deepest, errors.UserError) else mistake
    deepest = deepest.__cause__ or deepest.__context__
  if mistake is not None:
    return str(mistake)
  if isinstance(error, (AttributeError, KeyError)):
    return errors.unknown_key(error)
  lines = [line for line in str(error).splitlines() if line.strip()]
  last = lines[-1].strip()
  if "No such file" in last:  # the flag hides the original error's type
    return (
      f"The configuration cannot be read: {last}. Expected --config=FILE, for "
      "example --config=configs/context_emoji.py, from the folder that "
      "contains configs/."
    )
  return f"{last} (--help shows the flags)"


def cli(argv: Sequence[str] | None = None) -> int:
  """Runs the program and returns its exit code.

  Args:
    argv: The program's name and its arguments; None for those of the process.
  """
  argv = sys.argv if argv is None else argv
  if {"--help", "-h", "--helpfull"} & set(argv):
    print(f"{__doc__}\n{FLAGS.module_help(sys.modules[__name__])}")
    return errors.EXIT_OK
  try:
    main(parse_flags(argv))
  except errors.UserError as error:
    print(f"error: {error}", file=sys.stderr)
    return errors.EXIT_USER_ERROR
  except errors.NonFiniteError as error:
    print(f"error: {error}", file=sys.stderr)
    return errors.EXIT_NON_FINITE
  except KeyboardInterrupt:
    print(
      "interrupted; the same command goes on from the last checkpoint",
      file=sys.stderr,
    )
    return errors.EXIT_INTERRUPTED
  except errors.Preempted as error:
    print(error, file=sys.stderr)
    return errors.EXIT_PREEMPTED
  return errors.EXIT_OK


if __name__ == "__main__":
  sys.exit(cli(sys.argv))
