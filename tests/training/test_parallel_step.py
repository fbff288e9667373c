import pytest

from causal_mlr_jax.core import lookup
from causal_mlr_jax.training import model as model_lib
from tests import small
from tests.devices import run_on_devices

# Three steps of the real training step on the same 16 images: on one device,
# on eight by `pmapped`, and on eight by `jax.pmap` of the same function.
CODE = """
from causal_mlr_jax.core import lookup, parallel
from causal_mlr_jax.data.label_statistics import cooccurrence
from causal_mlr_jax.training import model as model_lib, optimizer, step
from causal_mlr_jax.losses import binary_cross_entropy
from tests import small

config = small.config('{method}', 'nowhere', **{overrides})
rng = np.random.default_rng(0)
labels = (rng.random((16, 5)) < .3).astype(np.float32)
side = {{
  'confounders': small.confounders(),
  'cooccurrence': cooccurrence(labels),
  'label_embeddings': rng.normal(size=(5, 7)).astype(np.float32),
  'biased_pairs': np.asarray([[0, 1], [2, 4]], np.int32),
  'label_prototypes': rng.normal(size=(5, {channels})).astype(np.float32),
}}
batch = {{
  'image': rng.integers(0, 256, (16, 16, 16, 3)).astype(np.uint8),
  'labels': labels,
  'mask': np.ones(16, np.float32),
  'index': np.arange(16, dtype=np.int32),
  'context_share': rng.dirichlet(np.ones(6), 16).astype(np.float32),
  'label_state': rng.integers(-1, 2, (16, 5)).astype(np.int32),
}}
model = model_lib.make_model(config, 5)
method = model_lib.find_method('{method}')
few = {{k: batch[k][:2] for k in ('context_share', 'label_state')}}
init = lambda seed: model_lib.init_variables(
  model, side | few, (16, 16, 3), seed)
variables = init(0)
if 'reference' in model_lib.training_needs(method):
  side['reference'] = init(1)
schedule = optimizer.make_schedule(config.train, 20)
tx = optimizer.make_optimizer(config.train, schedule, variables['params'], 20)
per_device = step.make_train_step(
  model, method, binary_cross_entropy.loss, tx, .9, 0)
start = jax.device_get(step.create_state(variables, tx))

def by_pmapped(devices):
  mesh = parallel.make_mesh(jax.devices()[:devices])
  r, s = parallel.REPLICATED, parallel.SHARDED
  f = parallel.pmapped(per_device, mesh, (r, s, r), (r, r), donate_argnums=0)
  state, shared = parallel.replicate((start, side), mesh)
  for _ in range(3):
    state, metrics = f(state, parallel.shard(batch, mesh), shared)
  return jax.device_get(state), float(metrics['loss'].compute())

def by_pmap():
  f = jax.pmap(per_device, axis_name=parallel.AXIS)
  eight = lambda x: np.broadcast_to(x, (8, *np.shape(x)))
  state, shared = jax.tree.map(eight, (start, side))
  split = {{k: v.reshape(8, 2, *v.shape[1:]) for k, v in batch.items()}}
  for _ in range(3):
    state, metrics = f(state, split, shared)
  first = jax.tree.map(lambda x: np.asarray(x)[0], state)
  return first, float(np.asarray(metrics['loss'].compute()).ravel()[0])

one, loss_one = by_pmapped(1)
def worst(other):
  pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
  return float(max(np.abs(np.float64(a) - b).max() for a, b in pairs))
eight, loss_eight = by_pmapped(8)
pmap, loss_pmap = by_pmap()
moved = [float(np.abs(a - b).max()) for a, b in zip(
  jax.tree.leaves(one.params), jax.tree.leaves(start.params))]
print(json.dumps(dict(
  eight=worst(eight), pmap=worst(pmap), moved=max(moved),
  losses=[loss_one, loss_eight, loss_pmap], steps=int(one.step))))
"""

SHORT = {"backbone.stage_sizes": (1,)}
DECODER = SHORT | {"method.dropout": 0.0}
# The method and what differs; a method that is not here takes `SHORT`.
CASES = {name: (name, SHORT) for name in lookup.names(model_lib.METHODS)} | {
  "q2l": ("q2l", DECODER),
  # Under the literal formula, the projection of confounders has a gradient of
  # rounding alone, which Adam makes a step of.
  "causal": ("causal", DECODER | {"method.intervention": "post_norm"}),
  "causal-posterior": ("causal", DECODER | {"method.adjustment": "posterior"}),
  "c_tran": ("c_tran", DECODER),
  "tdrg": (
    "tdrg",
    {"backbone.stage_sizes": (1, 1), "method.middle_stage": "stage1"},
  ),
  # Normalised over two channels a head, nothing would have a gradient.
  "ida": ("ida", SHORT | {"backbone.width": 32}),
}
# Each starts a process and compiles thrice. This one has all that the loop
# splits: images, labels and a table; those with more than that, pairs and
# statistics of heads, are in the tests of their methods.
FAST = "causal-posterior"


@pytest.mark.parametrize(
  "case",
  [
    pytest.param(case, marks=() if case == FAST else small.slow(case))
    for case in CASES
  ],
)
def test_one_device_eight_and_pmap_train_alike(case):
  method, overrides = CASES[case]
  code = CODE.format(method=method, overrides=overrides, channels=8)
  result = run_on_devices(code)
  assert result["steps"] == 3
  assert result["moved"] > 1e-4
  assert result["eight"] < 1e-5
  assert result["pmap"] < 1e-5
  one, eight, pmap = result["losses"]
  assert eight == pytest.approx(one, rel=1e-5)
  assert pmap == pytest.approx(one, rel=1e-5)
