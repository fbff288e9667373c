"""The exact answers of the causal model against counting and by property."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.data.emoji import structural_causal_model

# The scene raises all of them; rain wets both street and dog; the dog brings
# the bone, and the bone the cat.
MODEL = structural_causal_model.Model(
  prior=(0.2, 0.5, 0.3),
  occasions={"rain": 0.3, "sale": 0.5},
  leaks={
    "cat": (0.1, 0.3, 0.2),
    "street": (0.1, 0.2, 0.6),
    "dog": (0.5, 0.05, 0.1),
    "bone": (0.05, 0.1, 0.3),
  },
  weights={
    ("rain", "street"): 0.8,
    ("rain", "dog"): 0.7,
    ("dog", "bone"): 0.6,
    ("bone", "cat"): 0.5,
    ("sale", "bone"): 0.2,
  },
)
DOS = ({}, {"dog": 1}, {"bone": 0}, {"scene": 2}, {"rain": 1, "dog": 0})
COUNT = 200_000
TOLERANCE = 0.006  # five standard deviations of a share in COUNT draws


def column(draw, name):
  if name == structural_causal_model.SCENE:
    return draw.scenes
  if name in MODEL.occasions:
    return draw.occasions[:, list(MODEL.occasions).index(name)]
  return draw.objects[:, MODEL.objects.index(name)]


@pytest.mark.parametrize("do", DOS)
def test_probabilities_agree_with_counting(do, rng):
  draw = MODEL.sample(COUNT, rng, do)
  for name in (*MODEL.objects, *MODEL.occasions):
    exact = MODEL.probability({name: 1}, do)
    assert column(draw, name).mean() == pytest.approx(exact, abs=TOLERANCE)
  for event in ({"street": 1, "dog": 1}, {"cat": 0, "dog": 1, "scene": 2}):
    held = np.all([column(draw, k) == v for k, v in event.items()], axis=0)
    exact = MODEL.probability(event, do)
    assert held.mean() == pytest.approx(exact, abs=TOLERANCE)


def test_conditional_agrees_with_counting(rng):
  draw = MODEL.sample(COUNT, rng)
  dog, street = column(draw, "dog"), column(draw, "street")
  exact = MODEL.conditional({"street": 1}, {"dog": 1})
  counted = street[dog == 1].mean()
  assert counted == pytest.approx(exact, abs=2 * TOLERANCE)
  assert exact > MODEL.probability({"street": 1}) + 0.05
  assert MODEL.conditional({"dog": 0}, {"dog": 1}) == 0


def test_noisy_or_by_hand():
  model = structural_causal_model.Model(
    prior=(1.0,),
    occasions={"u": 0.5},
    leaks={"a": (0.2,), "b": (0.1,)},
    weights={("u", "b"): 0.4, ("a", "b"): 0.5},
  )
  both = 1 - 0.9 * 0.6 * 0.5
  alone = 1 - 0.9 * 0.5
  expected = 0.5 * both + 0.5 * alone
  assert model.probability({"b": 1}, {"a": 1}) == pytest.approx(expected)
  assert model.probability({"b": 1}, {"a": 1, "u": 0}) == pytest.approx(alone)
  assert model.probability({"a": 1}) == pytest.approx(0.2)


def test_do_leaves_non_descendants_alone():
  draw = MODEL.sample(1000, np.random.default_rng(1))
  done = MODEL.sample(1000, np.random.default_rng(1), {"dog": 1})
  np.testing.assert_array_equal(draw.scenes, done.scenes)
  np.testing.assert_array_equal(draw.occasions, done.occasions)
  np.testing.assert_array_equal(column(draw, "street"), column(done, "street"))
  assert np.all(column(done, "dog") == 1)
  assert np.all(column(done, "bone") >= column(draw, "bone"))
  for name in ("street", "rain", "sale"):
    before = MODEL.probability({name: 1})
    assert MODEL.probability({name: 1}, {"dog": 1}) == pytest.approx(before)


def test_first_samples_do_not_depend_on_the_count():
  few = MODEL.sample(10, np.random.default_rng(3))
  many = MODEL.sample(100, np.random.default_rng(3))
  np.testing.assert_array_equal(few.objects, many.objects[:10])
  np.testing.assert_array_equal(few.scenes, many.scenes[:10])


unit = st.floats(0, 1)


@st.composite
def models(draw):
  """Two scenes, one occasion, four objects, edges along their order."""
  names = "abcd"
  prior = draw(unit)
  edges = {
    (i, j): draw(st.floats(0.01, 0.99))
    for k, i in enumerate(names)
    for j in names[k + 1 :]
    if draw(st.booleans())
  }
  occasion = {("u", j): draw(unit) for j in names if draw(st.booleans())}
  return structural_causal_model.Model(
    prior=(prior, 1 - prior),
    occasions={"u": draw(unit)},
    # In reverse, so that the order of causes has to be found.
    leaks={n: (draw(st.floats(0, 0.9)), draw(unit)) for n in names[::-1]},
    weights={**edges, **occasion},
  )


@given(models(), st.sampled_from("abcd"), st.sampled_from("abcd"))
def test_properties(model, i, j):
  p, done = model.probability({j: 1}), model.probability({j: 1}, {i: 1})
  undone = model.probability({j: 1}, {i: 0})
  assert -1e-9 <= p <= 1 + 1e-9
  assert p + model.probability({j: 0}) == pytest.approx(1)
  # A noisy OR only ever raises: p lies between the two interventions.
  assert undone - 1e-9 <= p <= done + 1e-9
  if i > j:
    assert done == pytest.approx(p)
  joint = sum(model.probability({i: a, j: 1}) for a in (0, 1) if i != j)
  assert i == j or joint == pytest.approx(p)


@given(models())
def test_an_edge_raises_its_effect(model):
  for (i, j), strength in model.weights.items():
    on = model.probability({j: 1}, {i: 1})
    off = model.probability({j: 1}, {i: 0})
    room = model.probability({j: 0}, {i: 0})
    assert on >= off + strength * room - 1e-9


def replaced(**changes):
  return dataclasses.replace(MODEL, **changes)


def test_wrong_models_and_questions_are_refused():
  cycle = {("dog", "bone"): 0.5, ("bone", "dog"): 0.5}
  with pytest.raises(UserError, match="cycle"):
    replaced(weights=cycle)
  with pytest.raises(UserError, match="sum to 1"):
    replaced(prior=(0.5, 0.6, 0.1))
  with pytest.raises(UserError, match="one leak per scene"):
    replaced(leaks={"dog": (0.5,)}, weights={})
  with pytest.raises(UserError, match=r"Did you mean 'dog'"):
    replaced(weights={("dogg", "cat"): 0.5})
  with pytest.raises(UserError, match="Unknown effect"):
    replaced(weights={("dog", "rain"): 0.5})
  with pytest.raises(UserError, match=r"\[0, 1\]"):
    replaced(weights={("dog", "cat"): 1.5})
  with pytest.raises(UserError, match="must differ"):
    replaced(occasions={"dog": 0.5})
  with pytest.raises(UserError, match="Unknown variable"):
    MODEL.probability({"bike": 1})
  with pytest.raises(UserError, match="cannot be 3"):
    MODEL.probability({"dog": 1}, {"scene": 3})
  with pytest.raises(UserError, match="nothing to condition on"):
    MODEL.conditional({"cat": 1}, {"dog": 0}, {"dog": 1})
  assert MODEL.probability({"dog": 0}, {"dog": 1}) == 0
