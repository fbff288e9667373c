"""What a user asks of a trained model."""

from __future__ import annotations

import pathlib
from typing import NamedTuple

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.inference.find_images import find_images


class Request(NamedTuple):
  """What a user asks of a trained model.

  Attributes:
    images: A folder, a pattern, a list or an image, see `find_images`.
    output: The file or folder to write; '' for one in the workdir.
    top_k: Number of labels of each image; 0: those above their thresholds.
    calibrated: Whether to divide logits by the model's temperature.
    format: What to export, see `write_folder.FORMATS`.
  """

  images: str = ""
  output: str = ""
  top_k: int = 0
  calibrated: bool = False
  format: str = "all"

  def paths(self, mode: str) -> list[pathlib.Path]:
    """Returns the paths of the images, after a look at the other values.

    Args:
      mode: Name of the mode, for messages.

    Raises:
      UserError: There is no image, or a value is out of range.
    """
    if self.top_k < 0:
      raise UserError(f"--top_k={self.top_k}: expected 0 or more.")
    if not self.images:
      raise UserError(
        f"--mode={mode} needs images: set --images to a folder, a pattern in "
        "quotes, a .txt list or an image."
      )
    return find_images(self.images)
