"""Photographs of phones, transparency, CMYK and 16 bits become upright RGB."""

import io

import numpy as np
import pytest
from PIL import Image

from causal_mlr_jax.data.preprocess import op_string, upright_rgb
from causal_mlr_jax.data.preprocess.decode import decode_bytes

ORIENTATION = 0x0112


def picture(shape=(20, 30, 3)):
  return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def encoded(image, kind="PNG", **options):
  buffer = io.BytesIO()
  image.save(buffer, kind, **options)
  return buffer.getvalue()


def with_orientation(pixels, orientation, kind):
  exif = Image.Exif()
  exif[ORIENTATION] = orientation
  options = {"quality": 95} if kind == "JPEG" else {}
  return encoded(Image.fromarray(pixels), kind, exif=exif, **options)


# Where the first row and the first column of the stored pixels are shown, in
# the words of the EXIF standard, as an operation of NumPy.
SHOWN = {
  1: lambda x: x,
  2: lambda x: x[:, ::-1],
  3: lambda x: x[::-1, ::-1],
  4: lambda x: x[::-1],
  5: lambda x: x.transpose(1, 0, 2),
  6: lambda x: np.rot90(x, -1),
  7: lambda x: x.transpose(1, 0, 2)[::-1, ::-1],
  8: lambda x: np.rot90(x),
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", SHOWN)
def test_a_photograph_is_turned_as_its_exif_says(orientation, kind):
  pixels = picture()
  data = with_orientation(pixels, orientation, kind)
  stored = decode_bytes(with_orientation(pixels, 1, kind))
  want = SHOWN[orientation](stored)
  found = decode_bytes(data)
  np.testing.assert_array_equal(found, want)
  assert found.flags["C_CONTIGUOUS"]
  np.testing.assert_array_equal(upright_rgb.upright(stored, orientation), want)


@pytest.mark.parametrize("orientation", [1, 6])
def test_crops_for_training_are_of_the_upright_image(orientation):
  # Grey rises from top to bottom, so that a crop tells how it was turned.
  ramp = np.arange(200, dtype=np.uint8)[:, None].repeat(160, 1)
  stored = np.rot90(ramp) if orientation == 6 else ramp
  data = with_orientation(
    np.ascontiguousarray(np.dstack([stored] * 3)), orientation, "JPEG"
  )
  op = op_string.parse("decode|random_resized_crop(16)")
  for seed in range(5):
    crop = op(data, np.random.default_rng(seed)).astype(float)
    assert (np.diff(crop.mean((1, 2))) > -1).all()
    assert crop.mean((0, 2)).std() < 2


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_there_is_not_turns_nothing(orientation):
  pixels = picture()
  found = decode_bytes(with_orientation(pixels, orientation, "JPEG"))
  np.testing.assert_array_equal(
    found, decode_bytes(with_orientation(pixels, 1, "JPEG"))
  )


def test_exif_that_cannot_be_read_turns_nothing():
  data = with_orientation(picture(), 6, "JPEG")
  at = data.index(b"Exif")
  broken = data[: at + 6] + b"\xff" * 12 + data[at + 18 :]
  assert decode_bytes(broken).shape == (20, 30, 3)


def composed(pixels, alpha):
  part = alpha[..., None] / 255
  return pixels * part + 255 * (1 - part)


def test_transparency_is_composed_on_white_and_it_is_said_once(capsys):
  upright_rgb._say.cache_clear()
  pixels = picture()
  alpha = np.arange(600).reshape(20, 30).astype(np.uint8)
  data = encoded(Image.fromarray(np.dstack([pixels, alpha])))
  for _ in range(3):
    found = decode_bytes(data)
  np.testing.assert_allclose(found, composed(pixels, alpha), atol=1)
  assert capsys.readouterr().err.count("composed on white") == 1
  grey = Image.fromarray(pixels[..., 0])
  both = Image.merge("LA", (grey, Image.fromarray(alpha)))
  found = decode_bytes(encoded(both))
  want = composed(np.repeat(pixels[..., :1], 3, 2), alpha)
  np.testing.assert_allclose(found, want, atol=1)


def test_a_colour_that_stands_for_transparent_is_white():
  pixels = picture()
  key = tuple(map(int, pixels[3, 4]))
  found = decode_bytes(encoded(Image.fromarray(pixels), transparency=key))
  want = pixels.copy()
  want[(pixels == pixels[3, 4]).all(-1)] = 255
  np.testing.assert_array_equal(found, want)


def test_opaque_alpha_changes_no_colour():
  pixels = picture()
  opaque = np.full((20, 30, 1), 255, np.uint8)
  data = encoded(Image.fromarray(np.concatenate([pixels, opaque], -1)))
  np.testing.assert_array_equal(decode_bytes(data), pixels)


@pytest.mark.parametrize("opacity", [bytes(range(0, 256, 16)), b"\0\x80", 3])
@pytest.mark.parametrize("text", ["decode", "decode|random_resized_crop(8)"])
def test_a_palette_with_transparency_is_composed_too(opacity, text):
  indices = np.random.default_rng(0).integers(0, 16, (20, 30), np.uint8)
  colours = np.random.default_rng(1).integers(0, 256, (16, 3), np.uint8)
  image = Image.fromarray(indices)
  image.putpalette(colours.tobytes())  # makes it one of the mode P
  data = encoded(image, transparency=opacity)
  alpha = np.full(16, 255, np.uint8)
  if isinstance(opacity, bytes):
    alpha[: len(opacity)] = np.frombuffer(opacity, np.uint8)
  else:
    alpha[opacity] = 0
  want = composed(colours[indices], alpha[indices]).round().astype(np.uint8)
  op = op_string.parse(text)
  # A warning of Pillow's would be an error here.
  found = op(data, np.random.default_rng(0)).astype(int)
  expected = op(encoded(Image.fromarray(want)), np.random.default_rng(0))
  np.testing.assert_allclose(found, expected, atol=1)


def test_greys_of_16_bits_are_scaled():
  deep = np.random.default_rng(0).integers(0, 65536, (9, 8), np.uint16)
  found = decode_bytes(encoded(Image.fromarray(deep)))
  np.testing.assert_array_equal(found[..., 1], (deep / 257).round())


def test_cmyk_becomes_rgb(capsys):
  upright_rgb._say.cache_clear()
  pixels = np.full((20, 30, 3), (200, 30, 90), np.uint8)
  data = encoded(Image.fromarray(pixels).convert("CMYK"), "JPEG")
  np.testing.assert_allclose(decode_bytes(data), pixels, atol=6)
  assert "CMYK" in capsys.readouterr().err
