"""Variables under published keys are the arrays they came from."""

import numpy as np
import pytest

from causal_mlr_jax.core import lookup
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.weights import check
from causal_mlr_jax.weights.mapping import (
  convert,
  published_methods,
  to_published,
)
from causal_mlr_jax.weights.parity import heads
from causal_mlr_jax.weights.parity.golden import Golden
from tests.paths import GOLDEN

# Files whose case runs a head on arrays of its published program.
FILES = (
  "add_gcn",
  "add_gcn_full",
  "c_tran",
  "c_tran_full",
  "c_tran_no_state",
  "ccd_full",
  "ccd_stage1",
  "ccd_stage2",
  "ccd_stage2_concat",
  "ccd_stage2_mlp",
  "ccd_stage2_none",
  "ida_full",
  "ida_heavy",
  "ida_heavy_new_attention",
  "ida_light",
  "ida_light_new_attention",
  "ml_gcn",
  "ml_gcn_full",
  "q2l",
  "q2l_full",
  "q2l_input_proj",
  "resnet50_reduced",
  "ssgrl",
  "ssgrl_full",
  "tdrg",
  "tdrg_full",
)


@pytest.mark.parametrize("name", FILES)
def test_there_and_back(name):
  golden = Golden(GOLDEN / f"{name}.npz")
  case = check.find_case(golden.case)
  network = heads.make_network(golden, case)
  inputs = heads.make_inputs(golden, case)
  variables = heads.make_variables(network, inputs)
  found = to_published.state_dict(case.METHOD, variables)
  assert set(found) <= set(golden.state)
  for key, value in found.items():
    np.testing.assert_array_equal(value, golden.state[key], strict=True)
  # The rest is what ours does not have, such as the identity matrix.
  ours = convert.by_path(variables)
  for key in golden.state.keys() - found.keys():
    assert heads.path_of(network.layout, key) not in ours, key


@pytest.mark.parametrize("method", ["cam_based", "feature_split"])
def test_plain_classifiers_of_the_program_with_a_prefix(golden, method):
  state = {
    key.removeprefix("state/"): value
    for key, value in golden("resnet50_reduced").items()
    if key.startswith("state/")
  }
  kernel, bias = state["fc.weight"].T, state["fc.bias"]
  variables = {"params": {"head": {"classifier": {}}}}
  variables["params"]["head"]["classifier"] = {"kernel": kernel, "bias": bias}
  variables["constants"] = {"head": {"channels": np.arange(3)}}
  if method == "cam_based":
    del variables["constants"]
  found = to_published.state_dict(method, variables)
  assert found.keys() == {"resnet.fc.weight", "resnet.fc.bias"}
  np.testing.assert_array_equal(found["resnet.fc.weight"], state["fc.weight"])


def test_what_has_no_published_keys_is_said():
  with pytest.raises(UserError, match=r"'causal'.*add_gcn.*safetensors"):
    to_published.check("causal")
  with pytest.raises(UserError, match=r"has a ResNet.*beit3"):
    to_published.check("q2l", "beit3")
  for name in lookup.names(published_methods.LAYOUTS):
    to_published.check(name)
