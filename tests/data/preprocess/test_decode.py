import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.emoji.drawing import package_file
from causal_mlr_jax.data.preprocess import decode, op_string, ops, random_crops
from causal_mlr_jax.data.preprocess.resampling import (
  Box,
  resampled,
  resized,
  sampled,
)

FLOWER = ("sklearn", "datasets/images/flower.jpg")
ASTRONAUT = ("skimage", "data/astronaut.png")
SEEDS = range(60)


def photograph(name=FLOWER, size=(640, 480)):
  with Image.open(package_file(*name)) as image:
    return image.convert("RGB").resize(size)


def encoded(image, **options):
  buffer = io.BytesIO()
  options = {"format": "JPEG", "quality": 90} | options
  image.save(buffer, **options)
  return buffer.getvalue()


def ramp(height, width):
  """Returns an image whose red says the row and whose green the column."""
  rows = np.linspace(20, 230, height)[:, None] + np.zeros(width)
  columns = np.linspace(20, 230, width) + np.zeros(height)[:, None]
  pixels = np.stack([rows, columns, 0 * rows + 128], -1)
  return Image.fromarray(pixels.round().astype(np.uint8))


RAMP = encoded(ramp(480, 640))


def one_by_one(data, size, seed):
  rng = np.random.default_rng(seed)
  image = decode.decode_bytes(data)
  for op in (random_crops.random_resized_crop(size), ops.flip_lr()):
    image = op(image, rng)
  return image, rng.random()


def fused(data, size, seed):
  rng = np.random.default_rng(seed)
  op = op_string.parse(f"decode|random_resized_crop({size})|flip_lr")
  return op(data, rng), rng.random()


def differences(data, size, seeds=SEEDS):
  """Returns the mean absolute difference for each seed."""
  found = []
  for seed in seeds:
    got, after = fused(data, size, seed)
    expected, expected_after = one_by_one(data, size, seed)
    assert got.shape == expected.shape == (size, size, 3)
    assert got.dtype == np.uint8
    assert after == expected_after
    found.append(np.abs(got.astype(int) - expected).mean())
  return np.array(found)


@pytest.mark.parametrize("name", [FLOWER, ASTRONAUT])
@pytest.mark.parametrize(("size", "mean"), [(224, 1.6), (448, 0.6)])
def test_photographs_come_out_as_by_the_single_ops(name, size, mean):
  found = differences(encoded(photograph(name)), size)
  assert found.mean() < mean
  assert found.max() < 4


@pytest.mark.parametrize("quality", [75, 95])
def test_other_qualities_come_out_as_by_the_single_ops(quality):
  assert differences(encoded(photograph(), quality=quality), 224).mean() < 1.6


@pytest.mark.parametrize("size", [300, 224, 100, 40, 17])
def test_the_crop_is_the_same_at_every_scale(size):
  data = encoded(ramp(480, 640), quality=100, subsampling=0)
  for seed in SEEDS:
    got, _ = fused(data, size, seed)
    expected, _ = one_by_one(data, size, seed)
    # Half a pixel of the result would be 0.5 * 210 / 480 * the scale.
    error = np.abs(got.astype(float) - expected)[2:-2, 2:-2].mean()
    assert error < 0.6


@given(
  top=st.integers(0, 470),
  left=st.integers(0, 630),
  height=st.integers(1, 480),
  width=st.integers(1, 640),
  size=st.integers(1, 300),
)
def test_a_window_is_never_enlarged_from_a_smaller_one(
  top, left, height, width, size
):
  box = Box(top, left, min(height, 480 - top), min(width, 640 - left))
  found = decode.decode_reduced(RAMP, (480, 640), box, size)
  assert found.image.shape == (480 // found.shrink, 640 // found.shrink, 3)
  assert found.shrink == 1 or min(box.height, box.width) >= found.shrink * size


@pytest.mark.parametrize(
  "options",
  [
    {"subsampling": 0},
    {"subsampling": 1},
    {"subsampling": 2},
    {"restart_marker_blocks": 3},
    {"optimize": True},
    {"progressive": True},
    {"quality": 40},
  ],
)
@pytest.mark.parametrize("size", [(640, 480), (227, 149)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_decoding_gives_the_pixels_of_pillow(options, size, mode):
  data = encoded(photograph(size=size).convert(mode), **options)
  assert decode.jpeg_size(data) == size[::-1]
  with Image.open(io.BytesIO(data)) as image:
    expected = np.asarray(image.convert("RGB"))
  np.testing.assert_array_equal(decode.decode_bytes(data), expected)


@pytest.mark.parametrize("name", [FLOWER, ASTRONAUT])
@pytest.mark.parametrize(
  ("height", "width"), [(448, 448), (512, 512), (640, 640), (224, 300)]
)
def test_resizing_in_training_is_near_that_of_pillow(name, height, width):
  image = np.asarray(photograph(name))
  found, expected = (
    by(image, height, width).astype(int) for by in (resampled, resized)
  )
  assert found.shape == (height, width, 3)
  assert np.abs(found - expected).mean() < 0.8


def test_shrinking_strongly_is_as_fast_as_pillow_and_its_pixels():
  # Of a filter as wide as the scale, these would take a minute.
  for height, width in ((20, 40_000), (40_000, 20), (3000, 40)):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3))
    image = image.astype(np.uint8)
    expected = resized(image, 16, 16)
    np.testing.assert_array_equal(resampled(image, 16, 16), expected)
    box = Box(0.25, 0.5, height - 1.5, width - 0.5)
    found = sampled(image, box, 16, 16, mirrored=True)
    apart = np.abs(found[:, ::-1].astype(int) - expected).mean()
    assert apart < 20  # noise, a part of a pixel aside


def test_training_alone_resizes_by_the_fast_filter():
  data = encoded(photograph())
  rng = np.random.default_rng(0)
  image = decode.decode_bytes(data)
  for text, by in (
    ("decode|resize(448)", resized),
    ("decode|resize(448)|cutout(1)", resampled),
  ):
    found = op_string.parse(text)(data, rng).astype(int)
    different = (found != by(image, 448, 448)).any(-1)
    assert different.sum() <= 1  # the hole


def test_an_image_far_too_large_for_its_crop_is_blurred_in_pixels():
  data = encoded(photograph(size=(1600, 1200)))
  assert differences(data, 24, range(20)).mean() < 4


def test_grey_images_become_colour():
  data = encoded(photograph().convert("L"))
  assert decode.jpeg_size(data) is not None
  got, _ = fused(data, 224, 0)
  np.testing.assert_array_equal(got[..., 0], got[..., 2])
  assert differences(data, 224, range(10)).mean() < 1.6


@pytest.mark.parametrize(
  "data",
  [
    encoded(photograph().convert("CMYK")),
    encoded(photograph(size=(80, 60)), format="PNG"),
    encoded(photograph().convert("CMYK"), progressive=True),
  ],
  ids=["cmyk", "png", "progressive cmyk"],
)
def test_what_is_left_to_pillow_is_done_by_the_single_ops(data):
  assert decode.jpeg_size(data) is None
  assert differences(data, 50, range(10)).max() == 0


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (17, 9)])
def test_tiny_and_narrow_images(size):
  data = encoded(photograph(size=size), quality=100, subsampling=0)
  assert differences(data, 20, range(20)).mean() < 6


def test_two_images_do_not_share_memory():
  first, _ = fused(encoded(photograph()), 224, 3)
  before = first.copy()
  fused(encoded(photograph(ASTRONAUT)), 224, 3)
  np.testing.assert_array_equal(first, before)


def with_size(data, height, width):
  at = data.index(b"\xff\xc0") + 5  # of the frame
  new = height.to_bytes(2, "big") + width.to_bytes(2, "big")
  return data[:at] + new + data[at + 4 :]


@pytest.mark.parametrize(
  ("data", "words"),
  [
    (encoded(photograph())[:20_000], "truncated"),
    (encoded(photograph())[:300], "(?i)truncated"),
    (b"\xff\xd8\xff\xd9", "cannot identify|truncated"),
    (b"", "0 bytes"),
    (b"<html>not an image</html>", "begin with b'<html>no'"),
    (with_size(encoded(photograph()), 60_000, 60_000), "decompression bomb"),
    (with_size(encoded(photograph()), 0, 640), "cannot be decoded"),
  ],
  ids=["half", "header", "markers", "empty", "page", "bomb", "no height"],
)
def test_what_is_no_image_is_one_clear_error(data, words):
  with pytest.raises(UserError, match=words):
    fused(data, 224, 0)


@given(data=st.data())
def test_damage_is_an_error_or_an_image(data):
  good = encoded(photograph(size=(64, 48)))
  damaged = bytearray(good)
  for _ in range(data.draw(st.integers(1, 4))):
    at = data.draw(st.integers(0, len(good) - 3))
    damaged[at] = data.draw(st.integers(0, 255))
  try:
    got, _ = fused(bytes(damaged), 20, 0)
  except UserError:
    return
  assert got.shape == (20, 20, 3)
