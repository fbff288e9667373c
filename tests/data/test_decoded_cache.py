import concurrent.futures
import io
import threading

import numpy as np
import pytest
from PIL import Image

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data import decoded_cache


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
  kept = decoded_cache.Decoded(found, 2**20)
  assert len(kept) == 3
  for i, image in enumerate(images):
    np.testing.assert_array_equal(kept[i]["image"], image)
    assert kept[i]["labels"] == i
    assert kept[i] is kept[i]
  with pytest.raises(ValueError, match="read-only"):
    kept[0]["image"][0] = 0


def test_a_small_first_image_does_not_open_the_door_to_large_ones(rng, capsys):
  sizes = (2, 40, 40, 8)
  images, files = zip(*(png(rng, size) for size in sizes), strict=True)
  limit = 3 * (2 * 2 + 40 * 40)  # the first and one of the large ones
  kept = decoded_cache.Decoded([{"image": file} for file in files], limit)
  for _ in range(3):
    for i, image in enumerate(images):
      np.testing.assert_array_equal(kept[i]["image"], image)
      assert kept.kept_bytes <= limit
  assert kept.kept_bytes == limit
  assert kept[1] is kept[1]
  assert kept[2] is not kept[2]
  said = capsys.readouterr().err
  assert said.count("do not hold all 4 decoded images") == 1
  assert "--config.data.cache_mib" in said


def test_a_large_image_does_not_keep_the_others_out(rng):
  files = [png(rng, size)[1] for size in (64, 8, 8)]
  kept = decoded_cache.Decoded(
    [{"image": file} for file in files], 2 * 3 * 8 * 8
  )
  assert kept[0] is not kept[0]
  assert kept[1] is kept[1]
  assert kept[2] is kept[2]


def test_many_threads_keep_no_more_than_the_limit(rng):
  _, found = records(rng, 64)
  limit = 20 * 8 * 8 * 3
  kept = decoded_cache.Decoded(found, limit)
  together = threading.Barrier(16)

  def read(_):
    for i in range(64):
      together.wait()  # so that all decode the same image at once
      kept[i]

  with concurrent.futures.ThreadPoolExecutor(16) as pool:
    list(pool.map(read, range(16)))
  assert kept.kept_bytes == limit
  assert sum(kept[i] is kept[i] for i in range(64)) == 20


def test_a_damaged_image_is_named(rng):
  _, found = records(rng)
  found[1]["image"] = found[1]["image"][:40]
  with pytest.raises(UserError, match=r"Record 1: .* cannot be decoded"):
    decoded_cache.Decoded(found, 2**20)[1]
