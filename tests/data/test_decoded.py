import io

import numpy as np
import pytest
from PIL import Image

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data import decoded


def png(rng, size=8):
  image = rng.integers(0, 256, (size, size, 3), np.uint8)
  file = io.BytesIO()
  Image.fromarray(image).save(file, "PNG")
  return image, file.getvalue()


def records(rng, count=3):
  images, files = zip(*(png(rng) for _ in range(count)), strict=True)
  return images, [{"image": f, "labels": i} for i, f in enumerate(files)]


def test_images_are_decoded_once_and_read_only(rng):
  images, found = records(rng)
  kept = decoded.Decoded(found)
  assert len(kept) == 3
  for i, image in enumerate(images):
    np.testing.assert_array_equal(kept[i]["image"], image)
    assert kept[i]["labels"] == i
    assert kept[i] is kept[i]
  with pytest.raises(ValueError, match="read-only"):
    kept[0]["image"][0] = 0


def test_the_first_image_says_whether_all_fit(rng, monkeypatch):
  _, found = records(rng)
  monkeypatch.setattr(decoded, "KEEP_BYTES", 3 * 8 * 8 * 3)
  assert decoded.fits(found)
  monkeypatch.setattr(decoded, "KEEP_BYTES", 3 * 8 * 8 * 3 - 1)
  assert not decoded.fits(found)


def test_a_damaged_image_is_named(rng):
  _, found = records(rng)
  found[1]["image"] = found[1]["image"][:40]
  with pytest.raises(UserError, match=r"Record 1: .* cannot be decoded"):
    decoded.Decoded(found)[1]
