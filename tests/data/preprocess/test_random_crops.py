import collections

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.emoji.drawing import package_file
from causal_mlr_jax.data.preprocess import op_string, rand_augment, random_crops

SIDES = st.integers(24, 70)
SEEDS = st.integers(0, 10_000)


def texture(height=40, width=56, seed=0):
  rng = np.random.default_rng(seed)
  # Smooth in places and without the extremes, so that every op has to act.
  coarse = rng.integers(25, 235, (5, 7, 3), dtype=np.uint8)
  size, sampling = (width, height), Image.Resampling.BILINEAR
  image = Image.fromarray(coarse).resize(size, sampling)
  noise = rng.integers(0, 20, (height, width, 3), dtype=np.uint8)
  return np.asarray(image) + noise


def coordinates(height, width):
  """Returns an image in which every pixel says its row and column."""
  rows, columns = np.mgrid[:height, :width]
  return np.stack([rows, columns, 0 * rows], -1).astype(np.uint8)


def apply(text, data, seed=0):
  return op_string.parse(text)(data, np.random.default_rng(seed))


def both_signs(name, image, strength=1.0):
  """Returns the distinct results of an op, as bytes."""
  transform = rand_augment.TRANSFORMS[name]
  return {
    transform(image, strength, np.random.default_rng(s)).tobytes()
    for s in range(20)
  }


@given(SIDES, SIDES, SEEDS)
def test_shapes_and_types_hold_and_the_seed_decides(height, width, seed):
  image = texture(height, width, seed)
  before = image.copy()
  same = image.shape
  for text, shape in (
    ("multi_scale_crop(17)", (17, 17, 3)),
    ("random_choice_crop((20,))", (20, 20, 3)),
    ("random_choice_crop((24, 20))|resize(9)", (9, 9, 3)),
    ("rand_augment", same),
    ("rand_augment(3, max_level=4, probability=1.0)", same),
    ("cutout(11)", same),
  ):
    got = apply(text, image, seed)
    assert got.shape == shape
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, apply(text, image, seed))
  np.testing.assert_array_equal(image, before)


def windows(image, draws, **kwargs):
  """Returns (top, left, height, width) of crops, read off the pixels."""
  op = random_crops.multi_scale_crop(40, **kwargs)
  rng = np.random.default_rng(0)
  for _ in range(draws):
    crop = op(image, rng).astype(float)
    # Away from the border the resized coordinates are linear.
    h = 2 * (crop[30, 20, 0] - crop[10, 20, 0])
    w = 2 * (crop[20, 30, 1] - crop[20, 10, 1])
    yield crop[20, 20, 0] - h / 2, crop[20, 20, 1] - w / 2, h, w


def nearest(value, choices):
  best = min(choices, key=lambda choice: abs(choice - value))
  assert abs(best - value) <= 4
  return best


def test_multi_scale_crop_takes_every_allowed_pair_alike():
  sides = [200, 175, 150, 132, 100]
  pairs = collections.Counter(
    (nearest(h, sides), nearest(w, sides))
    for _, _, h, w in windows(coordinates(200, 240), 4000)
  )
  assert pairs.keys() == {
    (sides[i], sides[j]) for i in range(5) for j in range(5) if abs(i - j) <= 2
  }
  assert len(pairs) == 19
  # A share of 1 in 19 of 4000 is 211 with a standard deviation of 14.
  assert min(pairs.values()) > 140
  assert max(pairs.values()) < 280


def test_multi_scale_crop_takes_every_place_alike():
  # Room for 100 down and 140 right, in quarters.
  places = collections.Counter(
    (nearest(top / 25, range(5)), nearest(left / 35, range(5)))
    for top, left, _, _ in windows(coordinates(200, 240), 3000, scales=(0.5,))
  )
  even = {(i, j) for i in (0, 2, 4) for j in (0, 2, 4)}
  assert places.keys() == even | {(i, j) for i in (1, 3) for j in (1, 3)}
  # A share of 1 in 13 of 3000 is 231 with a standard deviation of 15.
  assert min(places.values()) > 155
  assert max(places.values()) < 310


def test_multi_scale_crop_without_distortion_crops_squares():
  sides = [200, 175, 150, 132, 100]
  found = windows(coordinates(240, 200), 200, max_distort=0)
  pairs = {(nearest(h, sides), nearest(w, sides)) for _, _, h, w in found}
  assert pairs == {(side, side) for side in sides}


def test_random_choice_crop_takes_each_size_anywhere():
  image = coordinates(30, 30)
  crops = [apply("random_choice_crop((30, 20))", image, s) for s in range(600)]
  small = [crop for crop in crops if len(crop) == 20]
  assert {crop.shape for crop in crops} == {(30, 30, 3), (20, 20, 3)}
  assert 240 < len(small) < 360
  assert {int(crop[0, 0, 0]) for crop in small} == set(range(11))
  assert {int(crop[0, 0, 1]) for crop in small} == set(range(11))
  for crop in small:
    top, left = map(int, crop[0, 0, :2])
    np.testing.assert_array_equal(crop, image[top : top + 20, left : left + 20])


def test_rand_augment_leaves_as_many_images_as_its_probability_says():
  image = texture()

  def unchanged(text, draws):
    return sum((apply(text, image, s) == image).all() for s in range(draws))

  assert unchanged("rand_augment(probability=0.0)", 20) == 20
  # Both ops are left out in 1/4. An op that is applied leaves the image as it
  # is only as posterize at level 1, 1 in 135, so 0.2537 all in all; 1200
  # draws have a standard deviation of 15.
  assert 304 - 60 < unchanged("rand_augment", 1200) < 304 + 60
  assert unchanged("rand_augment(1, probability=1.0)", 400) < 20


def test_rand_augment_draws_all_ops_and_levels_alike():
  image = texture()
  results = {}
  for name in rand_augment.TRANSFORMS:
    for level in range(1, 10):
      for result in both_signs(name, Image.fromarray(image), level / 9):
        results.setdefault(result, (name, level))
  op = rand_augment.rand_augment(1, probability=1.0)
  rng = np.random.default_rng(0)
  # The squares of cutout are anywhere, so that most of them are not listed.
  drawn = collections.Counter(
    results.get(op(image, rng).tobytes(), ("cutout", 0)) for _ in range(6000)
  )
  ops, levels = collections.Counter(), collections.Counter()
  for (name, level), number in drawn.items():
    ops[name] += number
    levels[level] += number if name in ("rotate", "shear_x", "color") else 0
  assert ops.keys() == rand_augment.TRANSFORMS.keys()
  assert len(ops) == 15
  # Solarize at its highest levels is invert, so the two share their number.
  ops["invert"] = ops["solarize"] = (ops["invert"] + ops["solarize"]) / 2
  # 400 an op, standard deviation 19; 133 a level of the three, 11.
  assert min(ops.values()) > 400 - 80
  assert max(ops.values()) < 400 + 80
  assert min(levels[level] for level in range(1, 10)) > 133 - 45
  assert max(levels[level] for level in range(1, 10)) < 133 + 45


@pytest.mark.parametrize("name", rand_augment.TRANSFORMS)
def test_each_op_changes_a_texture_at_the_highest_level(name):
  image = texture()
  got = rand_augment.TRANSFORMS[name](
    Image.fromarray(image), 1.0, np.random.default_rng(0)
  )
  assert got.size == (56, 40)
  assert got.mode == "RGB"
  assert (np.asarray(got) != image).any(-1).mean() > 0.03


@pytest.mark.parametrize(
  ("name", "strength", "expected"),
  [
    ("invert", 0.3, ImageOps.invert),
    ("auto_contrast", 0.3, ImageOps.autocontrast),
    ("equalize", 0.3, ImageOps.equalize),
    ("posterize", 1.0, lambda image: ImageOps.posterize(image, 4)),
    ("posterize", 1 / 9, lambda image: image),
    ("solarize", 0.5, lambda image: ImageOps.solarize(image, 128)),
    ("rotate", 1.0, lambda image: image.rotate(30, fillcolor=(128,) * 3)),
  ],
)
def test_ops_without_a_sign_are_those_of_pillow(name, strength, expected):
  image = Image.fromarray(texture())
  got = rand_augment.TRANSFORMS[name](image, strength, np.random.default_rng(0))
  np.testing.assert_array_equal(np.asarray(got), np.asarray(expected(image)))


@pytest.mark.parametrize("name", ["color", "contrast", "brightness"])
def test_enhancements_go_both_ways(name):
  image = Image.fromarray(texture())
  enhancer = getattr(ImageEnhance, name.capitalize())(image)
  expected = {enhancer.enhance(f).tobytes() for f in (1 - 0.9, 1 + 0.9)}
  assert both_signs(name, image) == expected


def photo():
  with Image.open(
    package_file("sklearn", "datasets/images/china.jpg")
  ) as image:
    return image.convert("RGB").resize((448, 448))


def test_sharpness_is_that_of_pillow_to_one_grey_level():
  image = photo()
  for seed in range(4):
    rng = np.random.default_rng(seed)
    factor = 1.9 if rng.random() < 0.5 else 1 - 0.9
    expected = np.asarray(ImageEnhance.Sharpness(image).enhance(factor), int)
    rng = np.random.default_rng(seed)
    found = np.asarray(rand_augment.TRANSFORMS["sharpness"](image, 1.0, rng))
    assert np.abs(found - expected).max() <= 1
    assert abs((found - expected).mean()) < 0.05  # neither brighter nor darker


@pytest.mark.parametrize("strength", [1 / 9, 1.0])
@pytest.mark.parametrize(("name", "entry"), [("shear_x", 1), ("shear_y", 3)])
def test_shears_are_near_those_of_pillow(name, entry, strength):
  image = photo()
  for seed in range(4):
    rng = np.random.default_rng(seed)
    shear = 0.3 * strength * (1 if rng.random() < 0.5 else -1)
    matrix = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    matrix[entry] = shear
    expected = image.transform(
      image.size,
      Image.Transform.AFFINE,
      matrix,
      Image.Resampling.BICUBIC,
      fillcolor=(128, 128, 128),
    )
    rng = np.random.default_rng(seed)
    found = rand_augment.TRANSFORMS[name](image, strength, rng)
    apart = np.abs(np.asarray(found, int) - np.asarray(expected))
    assert apart.mean() < 1
    # Half a pixel aside, it would be.
    aside = np.abs(np.roll(np.asarray(found, int), 1, 1) - np.asarray(expected))
    assert aside.mean() > 4


def test_translations_move_by_a_share_of_the_size_and_leave_grey():
  array = texture(33, 331)
  image = Image.fromarray(array)
  grey = np.full((33, 150, 3), 128, np.uint8)
  left = np.concatenate([array[:, 150:], grey], 1)
  right = np.concatenate([grey, array[:, :-150]], 1)
  assert both_signs("translate_x", image) == {left.tobytes(), right.tobytes()}
  turned = Image.fromarray(np.ascontiguousarray(array.swapaxes(0, 1)))
  assert both_signs("translate_y", turned) == {
    half.swapaxes(0, 1).tobytes() for half in (left, right)
  }


def test_shears_move_rows_by_their_place():
  image = Image.fromarray(np.full((40, 60, 3), 200, np.uint8))
  for name, line in (("shear_x", lambda a: a), ("shear_y", np.transpose)):
    for result in both_signs(name, image):
      array = np.frombuffer(result, np.uint8).reshape(40, 60, 3)[..., 0]
      greys = (line(array) == 128).sum(1)
      # 0.3 pixels a row, up to the width of the filter at either end.
      steps = np.abs(np.diff(greys))
      assert steps.max() <= 2
      assert greys.max() - greys.min() == pytest.approx(
        0.3 * len(greys), abs=2.5
      )


@given(SIDES, SIDES, st.integers(1, 60), SEEDS)
def test_cutout_is_one_square_cut_off_at_the_border(h, w, length, seed):
  # No random colour has the third channel of this image in all of its pixels.
  image = coordinates(h, w)
  got = apply(f"cutout({length})", image, seed).astype(int)
  changed = (got != image).any(-1)
  rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
  if not len(rows):  # the colour of the only pixel
    return
  box = got[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
  assert len(np.unique(box.reshape(-1, 3), axis=0)) == 1
  # Where it touches no border it is whole, else at least half is left.
  for first, last, n in ((rows[0], rows[-1], h), (columns[0], columns[-1], w)):
    side = last - first + 1
    assert min(length // 2, n) <= side <= length or length < 3
    if first > 0 and last < n - 1:
      assert side == length


def test_cutout_colours_and_places_differ():
  image = texture()
  colours, areas = set(), []
  for seed in range(300):
    got = apply("cutout(10)", image, seed)
    changed = (got != image).any(-1)
    areas.append(changed.sum())
    colours.add(tuple(got[changed][0]))
  assert len(colours) > 290
  assert max(areas) == 100
  # The mean over centres: a side of n pixels keeps 10 - 25 / n of its 10 on
  # average (5 + 4 + ... lost at either border).
  expected = (10 - 25 / 40) * (10 - 25 / 56)
  assert np.mean(areas) == pytest.approx(expected, rel=0.04)


@pytest.mark.parametrize(
  ("text", "words"),
  [
    ("multi_scale_crop(8, scales=(1.5,))", "above 0 and at most 1"),
    ("multi_scale_crop(8, scales=())", "above 0 and at most 1"),
    ("random_choice_crop(())", "at least one size"),
    ("random_choice_crop((0, 8))", "at least one size"),
    ("random_choice_crop(640)", "does not take the arguments"),
    ("rand_augment(0)", "num_ops=0"),
    ("rand_augment(max_level=10)", "max_level from 1 to 9"),
    ("rand_augment(probability=2)", "probability from 0 to 1"),
    ("cutout(-1)", "For no square, remove 'cutout'"),
  ],
)
def test_mistakes_are_named(text, words):
  with pytest.raises(UserError, match=words):
    op_string.parse(text)


def test_a_crop_larger_than_the_image_is_an_error():
  with pytest.raises(UserError, match="cannot crop 64 from an image of 40 x"):
    apply("random_choice_crop((64,))", texture())
