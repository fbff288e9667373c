"""BEiT-3 against the reference run of the published definition."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causal_mlr_jax import backbones
from causal_mlr_jax.backbones import beit3
from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.nn.position import resize_grid
from causal_mlr_jax.weights.mapping import convert
from causal_mlr_jax.weights.mapping.backbones import beit3 as table

# Float32 against float64 is below 1e-5; the smallest mistake that is easily
# made, another GELU, changes the outputs by more than 5e-4.
TOLERANCE = 1e-4


@pytest.fixture
def arrays(golden):
  return golden("beit3")


@pytest.fixture
def image(arrays):
  return jnp.asarray(arrays["input/image"].transpose(0, 2, 3, 1))


def state_of(arrays):
  return {k[6:]: v for k, v in arrays.items() if k.startswith("state/")}


def backbone_of(arrays, **changes):
  """The backbone that the arrays tell; the heads are in the notes alone."""
  arguments = json.loads(str(arrays["meta"]))["arguments"]
  fields = table.fields(state_of(arrays))
  fields["num_heads"] = arguments["encoder_attention_heads"]
  return beit3.Backbone(**fields | changes)


def shapes_of(backbone, image):
  return jax.eval_shape(
    lambda: backbone.init(jax.random.key(0), image, train=False)
  )


def converted(arrays, backbone, image):
  shapes = shapes_of(backbone, image)
  return convert.convert("beit3", state_of(arrays), shapes)


def run_tokens(backbone, variables, *inputs):
  return jax.jit(lambda *x: backbone.apply(variables, *x, method="tokens"))(
    *inputs
  )


def assert_close(got, expected):
  np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE)


def test_agrees_with_reference(arrays, image):
  backbone = backbone_of(arrays)
  variables = converted(arrays, backbone, image)
  tokens, aux = run_tokens(backbone, variables, image)
  assert_close(tokens, arrays["output/tokens"])
  assert_close(aux["before_norm"], arrays["output/tokens_before_final_norm"])
  assert_close(aux["embedding"], arrays["output/embedding"])
  assert_close(aux["layer_0"], arrays["output/layer_0"])

  mask = jnp.asarray(arrays["input/mask"])
  masked, _ = run_tokens(backbone, variables, image, mask)
  assert_close(masked, arrays["output/tokens_masked"])


def test_the_maps_are_the_patch_tokens(arrays, image):
  backbone = backbone_of(arrays)
  variables = converted(arrays, backbone, image)
  features = backbone.apply(variables, image, train=True)
  patches = arrays["output/tokens"][:, 1:]
  side = image.shape[1] // backbone.patch_size
  grid = patches.reshape(len(image), side, side, -1)
  assert list(features.maps) == ["early", "final"]
  assert_close(features.maps["final"], grid)
  assert_close(features.pooled, patches.mean(1))
  # A quarter of the layers of a small network is one of them.
  early = arrays["output/layer_0"][:, 1:].reshape(grid.shape)
  assert_close(features.maps["early"], early)


def test_without_the_final_norm(arrays, image):
  backbone = backbone_of(arrays, final_norm=False)
  variables = converted(arrays, backbone, image)
  assert "norm" not in variables["params"]
  tokens, _ = run_tokens(backbone, variables, image)
  assert_close(tokens, arrays["output/tokens_before_final_norm"])


@pytest.mark.parametrize("side", [3, 10])
def test_another_image_size(arrays, image, side):
  backbone = backbone_of(arrays)
  size, batch = backbone.patch_size, len(image)
  shape = (batch, side * size, side * size, 3)
  other = jax.image.resize(image, shape, "linear")
  tokens, aux = run_tokens(backbone, converted(arrays, backbone, other), other)
  assert tokens.shape == (batch, 1 + side**2, backbone.embed_dim)
  assert bool(jnp.isfinite(tokens).all())

  state = state_of(arrays)
  old = state["beit3.encoder.embed_positions.A.weight"][3:]
  grid = (math.isqrt(len(old)),) * 2
  patches = np.asarray(other).reshape(batch, side, size, side, size, 3)
  embedding = np.einsum(
    "BHhWwC,DChw->BHWD", patches, state["beit3.vision_embed.proj.weight"]
  ).reshape(batch, side**2, -1)
  embedding += state["beit3.vision_embed.proj.bias"][None, None]
  embedding += resize_grid(old, grid, (side, side))[None]
  assert_close(aux["embedding"][:, 1:], embedding)
  assert_close(aux["embedding"][:, 0], arrays["output/embedding"][:, 0])


def test_sides_may_differ():
  backbone = beit3.Backbone(
    embed_dim=8, num_layers=8, num_heads=2, hidden=12, patch_size=4
  )
  image = jnp.ones((1, 8, 20, 3))
  variables = backbone.init(jax.random.key(0), image, train=False)
  features = backbone.apply(variables, image, train=False)
  assert features.maps["final"].shape == (1, 2, 5, 8)
  # Two of eight layers: the same network with two alone ends there.
  two = backbone.clone(num_layers=2, final_norm=False)
  params = {k: v for k, v in variables["params"].items() if k != "norm"}
  short = two.apply({"params": params}, image, train=False)
  assert_close(features.maps["early"], short.maps["final"])


def test_activations_in_bfloat16(arrays, image):
  backbone = backbone_of(arrays, dtype=jnp.bfloat16)
  variables = converted(arrays, backbone, image)
  leaves = jax.tree.leaves(variables)
  assert {leaf.dtype for leaf in leaves} == {np.dtype(np.float32)}
  features = backbone.apply(variables, image, train=False)
  assert features.maps["final"].dtype == jnp.bfloat16
  assert features.pooled.dtype == jnp.float32
  expected = arrays["output/tokens"][:, 1:].mean(1)
  np.testing.assert_allclose(features.pooled, expected, rtol=0, atol=0.1)


def test_everything_but_the_mask_token_and_the_key_bias_learns(arrays, image):
  backbone = backbone_of(arrays)
  variables = converted(arrays, backbone, image)

  def loss(params):
    features = backbone.apply({"params": params}, image, train=True)
    return (features.pooled**2).sum()

  grads = jax.jit(jax.grad(loss))(variables["params"])
  still = {
    jax.tree_util.keystr(path, simple=True, separator="/")
    for path, grad in jax.tree_util.tree_leaves_with_path(grads)
    if not jnp.any(grad != 0)
  }
  layers = range(backbone.num_layers)
  assert still == {"mask_token", *(f"layers_{i}/key/bias" for i in layers)}


@pytest.mark.parametrize(
  ("size", "published", "width", "heads"),
  # Counts of the image path, less the two rows of positions never read.
  [("base", 85_893_120, 768, 12), ("large", 303_550_464, 1024, 16)],
)
def test_has_the_published_size(size, published, width, heads):
  backbone = beit3.Backbone(size)
  shapes = shapes_of(backbone, jnp.zeros((1, 224, 224, 3)))
  values = sum(leaf.size for leaf in jax.tree.leaves(shapes))
  assert values == published - 2 * width
  assert beit3.SIZES[size][2] == heads


def test_made_from_a_section_whose_zeros_mean_the_size():
  section = {"name": "beit3", "pretrained": "", "size": "large", "hidden": 0}
  shapes = shapes_of(
    backbones.make(section, None, jnp.bfloat16), jnp.zeros((1, 32, 32, 3))
  )
  assert shapes["params"]["layers_23"]["linear1"]["kernel"].shape == (
    1024,
    4096,
  )


@pytest.mark.parametrize(
  ("fields", "words"),
  [
    ({"size": "lage"}, "Did you mean 'large'"),
    ({"embed_dim": 80}, "num_heads"),
    ({"num_layers": -1}, "positive"),
    ({"patch_size": 14}, "32 x 32 pixels.*patch_size = 14"),
    ({"patch_size": 64}, "patch_size = 64"),
  ],
)
def test_a_wrong_field_says_what_there_is(fields, words):
  with pytest.raises(UserError, match=words):
    shapes_of(beit3.Backbone(**fields), jnp.zeros((1, 32, 32, 3)))


def test_refuses_another_size_than_that_of_its_positions(arrays, image):
  backbone = backbone_of(arrays)
  variables = converted(arrays, backbone, image)
  rows = variables["params"]["position"].shape[0] - 1
  with pytest.raises(UserError, match=f"1 patches; .* has {rows}"):
    backbone.apply(variables, image[:, :16, :16], train=False)
