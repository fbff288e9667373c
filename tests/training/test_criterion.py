"""What the section `loss` of a configuration stands for."""

import jax.numpy as jnp
import numpy as np
import pytest

from causal_mlr_jax.core import lookup
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.losses import asymmetric, binary_cross_entropy
from causal_mlr_jax.training import criterion as criterion_lib
from configs import common

BATCH, LABELS = 4, 3


@pytest.fixture
def batch(rng):
  logits = jnp.asarray(rng.normal(size=(BATCH, LABELS)).astype(np.float32))
  return logits, jnp.asarray((rng.random((BATCH, LABELS)) < 0.4) * 1.0)


def make(section, batch_size=BATCH):
  return criterion_lib.make_criterion(section, batch_size, LABELS)


@pytest.mark.parametrize(
  ("reduction", "reduce"),
  [
    ("mean", jnp.mean),
    ("batch_sum", lambda values: values.mean(1).sum()),
    ("sum", jnp.sum),
  ],
)
def test_the_mean_is_what_the_configuration_asks_for(batch, reduction, reduce):
  section = common.loss("binary_cross_entropy", reduction, scale=7.0)
  got = make(section)(*batch)
  assert got.shape == (BATCH, LABELS)
  want = 7 * reduce(binary_cross_entropy.loss(*batch))
  assert float(got.mean()) == pytest.approx(float(want), rel=1e-6)


@pytest.mark.parametrize("reduction", criterion_lib.REDUCTIONS)
def test_the_mean_over_devices_is_that_of_the_global_batch(batch, reduction):
  section = common.loss("binary_cross_entropy", reduction)
  whole = make(section)(*batch).mean()
  half = BATCH // 2
  parts = [
    make(section)(batch[0][rows], batch[1][rows]).mean()
    for rows in (slice(half), slice(half, None))
  ]
  assert float(sum(parts) / 2) == pytest.approx(float(whole), rel=1e-6)


def test_fields_reach_the_loss(batch):
  section = common.loss("asymmetric")
  section.gamma_negative, section.clip = 4.0, 0.05
  want = asymmetric.loss(*batch, gamma_negative=4.0, clip=0.05)
  np.testing.assert_array_equal(make(section)(*batch), want)


def test_every_loss_has_its_line_in_the_configuration(batch):
  assert set(lookup.names(criterion_lib.LOSSES)) == set(common.LOSSES)
  for name in common.LOSSES:
    values = make(common.loss(name))(*batch)
    assert values.shape == (BATCH, LABELS)
    assert jnp.isfinite(values).all()


def test_what_is_unknown_is_named():
  section = common.loss("binary_cross_entropy")
  section.name = "asymetric"
  with pytest.raises(UserError, match="Did you mean 'asymmetric'"):
    make(section)
  section = common.loss("binary_cross_entropy", reduction="batch_mean")
  with pytest.raises(UserError, match=r"loss\.reduction.*batch_sum"):
    make(section)


def test_the_name_alone_changes_the_loss(batch):
  section = common.loss("binary_cross_entropy")
  section.name, section.gamma_negative = "asymmetric", 1.0
  want = asymmetric.loss(*batch, gamma_negative=1.0)
  np.testing.assert_array_equal(make(section)(*batch), want)


def test_fields_of_one_name_have_one_value():
  for table in (common.LOSSES, common.BACKBONES):
    seen = {}
    for row in table.values():
      for field, value in row.items():
        assert seen.setdefault(field, value) == value, field
