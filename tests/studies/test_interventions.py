"""Effects by the definition, image by image, without padding."""

import jax
import numpy as np
import pytest

from causal_mlr_jax.core import parallel
from causal_mlr_jax.data.known_labels import POSITIVE, UNKNOWN
from causal_mlr_jax.studies.effects import interventions
from causal_mlr_jax.training import model as model_lib
from tests import small

LABELS, IMAGES, BATCH = 4, 5, 3


def make_model(name, data_dir):
  config = small.config(name, data_dir, **{"backbone.stage_sizes": (1,)})
  model = model_lib.make_model(config, LABELS)
  side = {"confounders": small.confounders()} if name == "causal" else {}
  examples = np.full((model_lib.EXAMPLES, LABELS), UNKNOWN, np.int32)
  told = side | {"label_state": examples}
  variables = model_lib.init_variables(model, told, (16, 16, 3), 0)
  return model, model_lib.find_method(name), variables, side


def batches(rng):
  """Five images in two batches, the last of them padded; no label 3."""
  image = rng.integers(0, 255, (IMAGES, 16, 16, 3)).astype(np.uint8)
  labels = (rng.random((IMAGES, LABELS)) < 0.6).astype(np.float32)
  labels[0], labels[:, 3] = 1, 0
  rows = np.array([[0, 1, 2], [3, 4, 4]])
  mask = np.array([[1, 1, 1], [1, 1, 0]], np.float32)
  found = [
    {
      "image": image[r],
      "labels": labels[r],
      "mask": m,
      "index": r.astype(np.int32),
      "label_state": np.full((BATCH, LABELS), UNKNOWN, np.int32),
    }
    for r, m in zip(rows, mask, strict=True)
  ]
  return image, labels, found


def test_the_causal_head_is_asked_about_images_with_the_label(rng, tmp_path):
  model, _, variables, side = make_model("causal", tmp_path)
  assert interventions.has_single_key(model)
  assert not interventions.takes_known_labels(model)
  image, labels, found = batches(rng)
  got = interventions.single_key_effects(
    model, variables, side, found, IMAGES, parallel.make_mesh()
  )
  asked = model.clone(head=model.head.clone(single_key=True))
  aux = jax.jit(lambda v: asked.apply(v, image, side, train=False).aux)(
    variables
  )
  given, own = (
    np.asarray(jax.nn.sigmoid(aux[key]))
    for key in ("logits_single_key", "logits_causal")
  )
  for i in range(3):
    want = given[labels[:, i] == 1, i].mean(0) - own.mean(0)
    np.testing.assert_allclose(got[i], want, atol=1e-5)
  assert np.isnan(got[3]).all()


def test_the_transformer_is_told_of_each_label_alone(rng, tmp_path):
  model, method, variables, _ = make_model("c_tran", tmp_path)
  assert interventions.takes_known_labels(model)
  assert not interventions.has_single_key(model)
  image, _, found = batches(rng)
  got = interventions.known_label_effects(
    model, method, variables, {}, found, IMAGES, parallel.make_mesh()
  )

  @jax.jit
  def mean(state):
    side = {"label_state": state}
    return method.scores(model.apply(variables, image, side, train=False)).mean(
      0
    )

  nothing = np.full((IMAGES, LABELS), UNKNOWN, np.int32)
  for i in range(LABELS):
    known = nothing.copy()
    known[:, i] = POSITIVE
    want = mean(known) - mean(nothing)
    np.testing.assert_allclose(got[i], want, atol=1e-5)
  assert np.abs(got).max() > 1e-3


def test_other_methods_take_no_intervention(tmp_path):
  model = model_lib.make_model(small.config("q2l", tmp_path), LABELS)
  assert not interventions.has_single_key(model)
  assert not interventions.takes_known_labels(model)


def test_no_image_is_an_error_of_the_program(tmp_path):
  model, _, variables, side = make_model("causal", tmp_path)
  with pytest.raises(AssertionError, match="no batch"):
    interventions.single_key_effects(
      model, variables, side, [], 0, parallel.make_mesh()
    )
