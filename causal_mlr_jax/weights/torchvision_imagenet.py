"""Finds the files of torchvision's ImageNet weights of ResNets.

Nothing is downloaded. A file is searched for in the folder `pretrained/` of the
current directory, and then in torchvision's download folder.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import ml_collections

from causal_mlr_jax.core.errors import UserError

HOST = "https://download.pytorch.org/models/"
FOLDER = "pretrained"
# Values of the fields that a ResNet must share with the published networks.
PUBLISHED = {"stage_sizes": (), "block": "", "width": 64, "stem": "imagenet"}


class File(NamedTuple):
  """A published file.

  Attributes:
    name: torchvision's name of the file.
    megabytes: Size of the file.
    timm: Name of the timm model with the same weights.
  """

  name: str
  megabytes: int
  timm: str


# Files by torchvision's name of the weights, and by depth. V1 are those of the
# papers' time; V2 come from a longer training in 2021.
FILES: dict[str, dict[int, File]] = {
  "IMAGENET1K_V1": {
    18: File("resnet18-f37072fd.pth", 45, "resnet18.tv_in1k"),
    50: File("resnet50-0676ba61.pth", 98, "resnet50.tv_in1k"),
    101: File("resnet101-63fe2227.pth", 171, "resnet101.tv_in1k"),
  },
  "IMAGENET1K_V2": {
    50: File("resnet50-11ad3fa6.pth", 98, "resnet50.tv2_in1k"),
    101: File("resnet101-cd907fc2.pth", 171, "resnet101.tv2_in1k"),
  },
}


def folders() -> tuple[pathlib.Path, ...]:
  """Returns the folders to search for files, in this order."""
  cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
  torch = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))
  hub = pathlib.Path(torch).expanduser() / "hub" / "checkpoints"
  return pathlib.Path(FOLDER), hub


def find(
  section: ml_collections.ConfigDict | Mapping[str, Any], key: str
) -> pathlib.Path:
  """Returns the file of a backbone's published weights.

  Args:
    section: Section of the backbone; its `pretrained` is a key of `FILES`.
    key: Configuration key for messages, 'backbone.pretrained'.

  Raises:
    UserError: The file is missing, or there is none for such a backbone.
  """
  weights, flag = section["pretrained"], f"--config.{key}"
  changed = [k for k, v in PUBLISHED.items() if section[k] != v]
  file = FILES[weights].get(section["depth"])
  if section["name"] != "resnet" or changed or file is None:
    what = section["name"]
    if what == "resnet":
      what = f"resnet of depth {section['depth']}"
    what += f" with another {', '.join(changed)}" if changed else ""
    depths = ", ".join(map(str, FILES[weights]))
    raise UserError(
      f"{key} = {weights!r} names torchvision's weights of a ResNet of depth "
      f"{depths}; there are none for the backbone: {what}. Name a file of its "
      f"weights, {flag}=FILE, or train from random values, {flag}=scratch."
    )
  for folder in folders():
    if (folder / file.name).is_file():
      return folder / file.name
  raise UserError(_missing(weights, section["depth"], file, flag))


def _missing(weights: str, depth: int, file: File, flag: str) -> str:
  looked = " and ".join(f"{folder}/" for folder in folders())
  return (
    f"The weights that the ResNet-{depth} starts from are missing: "
    f"torchvision's {weights}, {file.name} ({file.megabytes} MB), looked for "
    f"in {looked}.\n"
    f"  Fetch   {HOST}{file.name}\n"
    f"          (timm's {file.timm}, model.safetensors on the Hugging Face "
    "hub, holds the same)\n"
    f"  put it  into {pathlib.Path(FOLDER).absolute()}/, or name its path by "
    f"{flag}=FILE\n"
    f"  or      set {flag}=scratch to train from random values, unlike all "
    "published results"
  )
