import io

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.preprocess import op_string, ops, random_crops


def picture(height=20, width=30, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(pixels, form="PNG"):
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, form)
  return buffer.getvalue()


def apply(text, data, seed=0):
  return op_string.parse(text)(data, np.random.default_rng(seed))


def test_decodes_colour_grey_and_alpha_to_rgb():
  pixels = picture()
  np.testing.assert_array_equal(apply("decode", encoded(pixels)), pixels)
  grey = apply("decode", encoded(pixels[..., 0]))
  np.testing.assert_array_equal(grey[..., 1], pixels[..., 0])
  cmyk = io.BytesIO()
  Image.fromarray(pixels).convert("CMYK").save(cmyk, "JPEG")
  assert apply("decode", cmyk.getvalue()).shape == pixels.shape


def png(image, **options):
  buffer = io.BytesIO()
  image.save(buffer, "PNG", **options)
  return buffer.getvalue()


def test_one_bit_is_black_and_white():
  bits = picture()[..., 0] > 127
  found = apply("decode", png(Image.fromarray(bits)))
  np.testing.assert_array_equal(found[..., 2], 255 * bits)


def test_of_colours_of_16_bits_the_upper_8_are_taken():
  deep = np.random.default_rng(0).integers(0, 65536, (9, 8, 3), np.uint16)
  data = cv2.imencode(".png", deep[..., ::-1])[1].tobytes()
  np.testing.assert_array_equal(apply("decode", data), deep >> 8)


@pytest.mark.parametrize("data", [b"", b"no image", encoded(picture())[:500]])
def test_bytes_that_are_no_image_are_one_clear_error(data):
  for text in ("decode", "decode|random_resized_crop(8)", "decode|resize(8)"):
    with pytest.raises(UserError, match=f"{len(data)} bytes that begin with"):
      apply(text, data)


@given(seed=st.integers(0, 1000), size=st.integers(4, 40))
def test_sizes_are_those_asked_for(seed, size):
  pixels = picture()
  square = (size, size, 3)
  assert apply(f"resize({size})", pixels, seed).shape == square
  assert apply(f"random_resized_crop({size})", pixels, seed).shape == square
  crop = f"resize_small({size})|central_crop({size})"
  assert apply(crop, pixels, seed).shape == square
  crop = f"resize({size})|random_crop({size}, 2)"
  assert apply(crop, pixels, seed).shape == square


def test_resize_small_keeps_the_proportions():
  assert apply("resize_small(10)", picture()).shape == (10, 15, 3)
  assert apply("resize(10, 12)", picture()).shape == (10, 12, 3)


def test_a_random_crop_is_a_part_of_the_image():
  pixels = picture()
  crop = apply("random_crop(8)", pixels)
  windows = np.lib.stride_tricks.sliding_window_view(pixels, (8, 8, 3))
  assert (windows[:, :, 0] == crop).all((-1, -2, -3)).any()


def test_png_is_cropped_and_resized_op_by_op():
  pixels = picture(90, 70)
  for seed in range(20):
    rng = np.random.default_rng(seed)
    crop = random_crops.random_resized_crop(40, 0.2)(pixels, rng)
    expected = ops.flip_lr()(crop, rng)
    text = "decode|random_resized_crop(40, min_area=0.2)|flip_lr"
    np.testing.assert_array_equal(apply(text, encoded(pixels), seed), expected)


def test_evaluation_is_exact():
  photo = Image.fromarray(picture(300, 400)).resize((640, 480))
  data = encoded(np.asarray(photo), "JPEG")
  with Image.open(io.BytesIO(data)) as image:
    expected = image.resize((448, 448), Image.Resampling.BILINEAR)
  np.testing.assert_array_equal(apply("decode|resize(448)", data), expected)


# torchvision's RandomResizedCrop after ten tries, by hand: where width / height
# is below 3/4, all of the width and round(width / (3/4)) rows; where it is
# above 4/3, all of the height and round(height * 4/3) columns; else the whole
# image; in the middle, rounded down.
@pytest.mark.parametrize(
  ("height", "width", "expected"),
  [
    (480, 640, (0, 0, 480, 640)),  # just 4/3
    (480, 641, (0, 0, 480, 640)),
    (480, 1000, (0, 180, 480, 640)),
    (100, 301, (0, 84, 100, 133)),
    (500, 500, (0, 0, 500, 500)),
    (640, 480, (0, 0, 640, 480)),  # just 3/4
    (1000, 480, (180, 0, 640, 480)),
    (301, 100, (84, 0, 133, 100)),
    (1000, 1, (499, 0, 1, 1)),
    (4, 4000, (0, 1997, 4, 5)),
  ],
)
def test_a_crop_that_never_fits_is_the_largest_of_a_fitting_aspect(
  height, width, expected
):
  class Whole:
    """Draws an area larger than the image, ten times."""

    draws = 0

    def uniform(self, low, high):
      self.draws += 1
      return 4.0 if self.draws % 2 else high

  rng = Whole()
  pixels = np.zeros((height, width, 3), np.uint8)
  top, left, h, w = expected
  pixels[top : top + h, left : left + w] = 200
  found = random_crops.random_resized_crop(8)(pixels, rng)
  assert rng.draws == 20
  assert (found == 200).all()
  # Its first and last rows and columns are in it.
  pixels[[top, top + h - 1]] = 0
  pixels[:, [left, left + w - 1]] = 0
  found = random_crops.random_resized_crop(8)(pixels, Whole())
  for side in (found[0], found[-1], found[:, 0], found[:, -1]):
    assert (side < 200).all()


def test_half_of_the_images_are_mirrored():
  pixels = picture()
  flipped = [
    (apply("flip_lr", pixels, seed) == pixels[:, ::-1]).all()
    for seed in range(200)
  ]
  assert 70 < sum(flipped) < 130


@pytest.mark.parametrize(
  ("text", "words"),
  [
    ("decode|flip", "Did you mean 'flip_lr'"),
    ("resize()", "does not take the arguments"),
    ("resize(1, 2, 3)", "does not take the arguments"),
    ("resize(open('x'))", "cannot read"),
    ("decode|", "cannot read"),
    ("__import__('os').system('true')", "cannot read"),
  ],
)
def test_mistakes_are_named(text, words):
  with pytest.raises(UserError, match=words.replace("(", r"\(")):
    op_string.parse(text)


def test_a_crop_larger_than_the_image_is_an_error():
  with pytest.raises(UserError, match="cannot crop 64 from an image of 20 x"):
    apply("central_crop(64)", picture())
