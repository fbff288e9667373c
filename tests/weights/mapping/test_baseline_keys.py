"""Three programs' checkpoints of the plain classifier, image to logits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causal_mlr_jax.backbones import resnet
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.training import model as model_lib
from causal_mlr_jax.weights.mapping import published_methods
from causal_mlr_jax.weights.mapping.backbones import resnet as table
from causal_mlr_jax.weights.mapping.key_rules import SEQUENTIAL

PLACES = {name: place for place, name in SEQUENTIAL.items()}


def torchvision(key):
  return key


def contextual_bias(key):
  return f"resnet.{key}"


def ida(key):
  name, _, rest = key.partition(".")
  return f"backbone.resnet_layer.{PLACES[name]}.{rest}" if name != "fc" else key


PROGRAMS = (torchvision, contextual_bias, ida)
METHODS = ("baseline", "cam_based", "feature_split")
CASES = [("baseline", program) for program in PROGRAMS]
CASES += [(method, contextual_bias) for method in METHODS[1:]]


class Case:
  """The reduced ResNet-50 under the names that a program gives its keys."""

  def __init__(self, arrays, method, program):
    start = "state/"
    self.method = method
    self.state = {
      program(key.removeprefix(start)): value
      for key, value in arrays.items()
      if key.startswith(start)
    }
    layout = published_methods.layout_of(method)
    backbone, head = published_methods.split(layout, self.state)
    self.backbone = resnet.Backbone(**table.fields(backbone))
    fields = layout.fields(head)
    self.head = model_lib.find_method(method).Head(**fields)
    self.image = jnp.asarray(arrays["input/image"].transpose(0, 2, 3, 1))

  def init(self):
    key = jax.random.key(0)
    found = {"backbone": self.backbone.init(key, self.image, train=False)}
    features = self.backbone.apply(found["backbone"], self.image, train=False)
    found["head"] = self.head.init(key, features, {}, train=False)
    collections = {c for part in found.values() for c in part}
    return {
      c: {part: v[c] for part, v in found.items() if c in v}
      for c in collections
    }

  def convert(self, target):
    return published_methods.convert_method(
      self.method, "resnet", self.state, target
    )

  def logits(self, variables):
    backbone, head = (
      published_methods.part_of(variables, part)
      for part in ("backbone", "head")
    )
    features = self.backbone.apply(backbone, self.image, train=False)
    return self.head.apply(head, features, {}, train=False).logits


@pytest.mark.parametrize(
  ("method", "program"),
  [*CASES[:2], *(pytest.param(*c, marks=pytest.mark.slow) for c in CASES[2:])],
)
def test_image_to_logits(golden, method, program):
  arrays = golden("resnet50_reduced")
  case = Case(arrays, method, program)
  target = jax.eval_shape(case.init)
  variables = case.convert(target)
  assert jax.tree.structure(variables) == jax.tree.structure(target)
  want = arrays["output/logits"]
  got = jax.jit(case.logits)(variables)
  error = np.abs(got - want).max() / np.abs(want).max()
  assert error < 1e-5


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_key_too_many_or_too_few_is_named(golden, program):
  case = Case(golden("resnet50_reduced"), "baseline", program)
  target = jax.eval_shape(case.init)
  for key in ("fc.bias", "layer1.0.conv1.weight"):
    value = case.state.pop(program(key))
    with pytest.raises(UserError, match="missing"):
      case.convert(target)
    case.state[program(key)] = value
  case.state["head.weight"] = np.zeros((2, 3))
  with pytest.raises(UserError, match=r"unused: head\.weight"):
    case.convert(target)


def test_the_three_methods_have_the_same_parameters(golden):
  arrays = golden("resnet50_reduced")
  shapes = [
    jax.eval_shape(Case(arrays, method, torchvision).init)["params"]
    for method in METHODS
  ]
  assert shapes[0] == shapes[1] == shapes[2]
