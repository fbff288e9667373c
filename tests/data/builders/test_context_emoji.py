"""The written promises of the data set, checked one by one."""

import hashlib
import io
import itertools
import json

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.builders import context_emoji

WORLDS = context_emoji.WORLDS
LABELS = WORLDS.labels
PAIRS = context_emoji.PAIRS
TRAIN, SHIFTED = WORLDS.model("train"), WORLDS.model("shifted")
SMALL = {"train": 96, "validation": 48, "test": 96, "test_shifted": 48}
pair = pytest.mark.parametrize(("b", "c"), [row[:2] for row in PAIRS])


def columns(split, b, c):
  labels = WORLDS.sample(split).labels.astype(bool)
  return labels[:, LABELS.index(b)], labels[:, LABELS.index(c)]


def test_the_cast():
  assert len(context_emoji.SCENES) == 8
  assert len(context_emoji.OBJECTS) == 24
  assert LABELS[24:] == tuple(context_emoji.SCENES)
  biased, companions = zip(*(row[:2] for row in PAIRS), strict=True)
  assert len(set(biased)) == len(PAIRS) == 8
  assert not set(biased) & set(companions)
  assert not set(biased) & set(itertools.chain(*context_emoji.EDGES))
  assert sum(occasion is None for *_, occasion in PAIRS) == 4
  assert len(context_emoji.EDGES) == 8
  assert all(0.4 <= w <= 0.7 for w in context_emoji.EDGES.values())
  assert 3 < sum(TRAIN.probability({y: 1}) for y in TRAIN.objects) < 4.5


@pair
def test_b_comes_with_c_nine_times_in_ten(b, c):
  assert 0.85 <= TRAIN.conditional({c: 1}, {b: 1}) <= 0.93
  assert 0.12 <= TRAIN.probability({b: 1}) <= 0.2
  has_b, has_c = columns("train", b, c)
  assert 0.8 < has_c[has_b].mean() < 0.96


@pair
@pytest.mark.parametrize("model", [TRAIN, SHIFTED])
def test_neither_of_a_pair_causes_the_other(b, c, model):
  for one, other in ((b, c), (c, b)):
    plain = model.probability({one: 1})
    for value in (0, 1):
      done = model.probability({one: 1}, {other: value})
      assert done == pytest.approx(plain, abs=1e-12)


@pair
def test_the_test_split_holds_enough_of_both_kinds(b, c):
  has_b, has_c = columns("test", b, c)
  exclusive, cooccur = (has_b & ~has_c).sum(), (has_b & has_c).sum()
  assert exclusive >= 60
  assert cooccur >= 3 * exclusive


@pair
def test_the_shifted_world_breaks_the_pairs(b, c):
  assert SHIFTED.conditional({c: 1}, {b: 1}) < 0.5
  # No more than chance would have it.
  assert SHIFTED.conditional({c: 1}, {b: 1}) < (
    SHIFTED.probability({c: 1}) + 0.01
  )
  has_b, has_c = columns("test_shifted", b, c)
  assert has_c[has_b].mean() < 0.6


def test_the_shifted_world_keeps_edges_and_rough_marginals():
  for edge, strength in context_emoji.EDGES.items():
    assert TRAIN.weights[edge] == SHIFTED.weights[edge] == strength
  for name in TRAIN.objects:
    here, there = (m.probability({name: 1}) for m in (TRAIN, SHIFTED))
    assert there == pytest.approx(here, abs=0.02)
    assert sorted(TRAIN.leaks[name]) == sorted(SHIFTED.leaks[name])
  homed = [n for n, row in context_emoji.OBJECTS.items() if row[1]]
  assert all(TRAIN.leaks[n] != SHIFTED.leaks[n] for n in homed)


def test_metadata_is_json_and_agrees_with_the_model():
  facts = json.loads(json.dumps(WORLDS.metadata()))
  assert facts == WORLDS.metadata()
  assert facts["labels"] == list(LABELS)
  assert facts["stuff"] == list(context_emoji.SCENES)
  assert facts["biased_pairs"] == [list(row[:2]) for row in PAIRS]
  for world, model in (("train", TRAIN), ("shifted", SHIFTED)):
    table = facts["worlds"][world]
    p, done = np.array(table["probability"]), np.array(table["probability_do"])
    assert done.shape == (len(LABELS), len(LABELS))
    np.testing.assert_array_equal(np.diag(done), 1)
    np.testing.assert_allclose(p[24:], 1 / 8)
    np.testing.assert_array_equal(done[24:, 24:], np.eye(8))
    # The scene comes first: no object changes it, and it is what they mix.
    np.testing.assert_allclose(done[:24, 24:], 1 / 8)
    np.testing.assert_allclose(done[24:, :24].mean(0), p[:24])
    for cause, effect, strength in facts["causal_edges"]:
      i, j = LABELS.index(cause), LABELS.index(effect)
      assert done[i, j] > p[j] + 0.5 * strength
    assert table["scene_object_table"]["cake"] == list(model.leaks["cake"])


def test_labels_follow_the_model():
  labels = WORLDS.sample("test").labels
  assert labels.dtype == np.uint8
  np.testing.assert_array_equal(labels[:, 24:].sum(1), 1)
  expected = WORLDS.metadata()["worlds"]["train"]["probability"]
  np.testing.assert_allclose(labels.mean(0), expected, atol=0.035)


def test_splits_differ_and_names_are_checked():
  train, test = WORLDS.sample("train"), WORLDS.sample("test")
  assert np.any(train.labels != test.labels[:3000])
  assert not np.isin(train.object_seeds, test.object_seeds).all()
  with pytest.raises(UserError, match="Did you mean 'test'"):
    WORLDS.sample("tset")
  with pytest.raises(UserError, match="Unknown world"):
    WORLDS.model("mars")
  with pytest.raises(UserError, match="Unknown label"):
    WORLDS.event("mars")


def prepared(folder):
  builder = tfds.builder("context_emoji/small", data_dir=folder)
  builder.download_and_prepare()
  return builder


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
  return prepared(tmp_path_factory.mktemp("first"))


def test_preparing_twice_gives_the_same_bytes(builder, tmp_path):
  def digests(one):
    return {
      file.name: hashlib.sha256(file.read_bytes()).hexdigest()
      for file in one.data_path.iterdir()
    }

  first = digests(builder)
  assert first == digests(prepared(tmp_path))
  assert sum(".array_record" in name for name in first) == len(SMALL)


def test_sizes(builder):
  assert {s: i.num_examples for s, i in builder.info.splits.items()} == SMALL
  sizes = {split: row[1] for split, row in context_emoji.SPLITS.items()}
  assert list(sizes.values()) == [3000, 1000, 6000, 2000]
  assert tfds.builder("context_emoji").builder_config.name == "default"


@pytest.mark.parametrize("split", SMALL)
def test_records_are_the_images_of_the_sample(builder, split):
  source = builder.as_data_source(
    split, decoders={"image": tfds.decode.SkipDecoding()}
  )
  drawn = WORLDS.sample(split, SMALL[split])
  assert len(source) == SMALL[split]
  for k in (0, 1, len(source) - 1):
    record = source[k]
    assert record["image_id"] == k
    assert record["labels"].dtype == np.uint8
    np.testing.assert_array_equal(record["labels"], drawn.labels[k])
    with Image.open(io.BytesIO(record["image"])) as image:
      pixels = np.asarray(image)
    expected = context_emoji.PAINTER.render(*drawn.image(k))
    np.testing.assert_array_equal(pixels, expected)


def test_the_prepared_folder_carries_the_metadata(builder):
  folder = builder.data_path
  stored = json.loads((folder / "metadata.json").read_text())
  assert stored == WORLDS.metadata()
  reread = tfds.builder_from_directory(folder)
  assert dict(reread.info.metadata) == WORLDS.metadata()
  for source in ("CC-BY 4.0", "CC-BY 2.0", "CC0", "NASA", "SpaceX"):
    assert source in reread.info.description


def test_preparing_leaves_standard_output_alone(forks, tmp_path):
  code = (
    "import sys, tensorflow_datasets as tfds\n"
    "from causal_mlr_jax.data.builders import context_emoji\n"
    "tfds.builder('context_emoji/small', data_dir=sys.argv[1])"
    ".download_and_prepare()"
  )
  (done,) = forks.run(code, (tmp_path,))
  assert done.returncode == 0, done.stderr
  assert done.stdout == ""
  assert "it/s" not in done.stderr
