"""Steps of training on one device and on eight, for methods with pairs."""

from tests.devices import run_on_devices

CODE = """
from causal_mlr_jax.core import parallel
from causal_mlr_jax.data.label_statistics import cooccurrence
from causal_mlr_jax.losses import binary_cross_entropy
from causal_mlr_jax.training import model as model_lib, optimizer, step
from tests import small

config = small.config(
  '{method}', 'nowhere', **{{'backbone.stage_sizes': (1,)}} | {overrides})
rng = np.random.default_rng(0)
# Few images hold both labels of a pair, and not one on each device.
labels = (rng.random((16, 5)) < .3).astype(np.float32)
batch = {{
  'image': rng.integers(0, 256, (16, 16, 16, 3)).astype(np.uint8),
  'labels': labels,
  'mask': np.ones(16, np.float32),
  'index': np.arange(16, dtype=np.int32),
}}
side = {{
  'biased_pairs': np.asarray([[0, 1], [2, 4]], np.int32),
  'cooccurrence': cooccurrence(labels),
}}
together = (labels[:, [0, 2]] * labels[:, [1, 4]]).reshape(8, -1).sum(1)
model = model_lib.make_model(config, 5)
method = model_lib.find_method('{method}')
variables = model_lib.init_variables(model, side, (16, 16, 3), 0)
if 'reference' in method.NEEDS_IN_TRAINING:
  side['reference'] = model_lib.init_variables(model, side, (16, 16, 3), 1)
schedule = optimizer.make_schedule(config.train, 20)
tx = optimizer.make_optimizer(config.train, schedule, variables['params'], 20)
per_device = step.make_train_step(
  model, method, binary_cross_entropy.loss, tx, .9, 0)
start = jax.device_get(step.create_state(variables, tx))

def train(devices):
  mesh = parallel.make_mesh(jax.devices()[:devices])
  r, s = parallel.REPLICATED, parallel.SHARDED
  f = parallel.pmapped(per_device, mesh, (r, s, r), (r, r), donate_argnums=0)
  state, shared = parallel.replicate((start, side), mesh)
  losses = []
  for i in range(3):
    rolled = {{k: np.roll(v, i, 0) for k, v in batch.items()}}
    state, metrics = f(state, parallel.shard(rolled, mesh), shared)
    losses.append({{k: float(v.compute()) for k, v in metrics.items()}})
  return jax.device_get(state), losses

def worst(a, b):
  pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
  return float(max(np.abs(np.float64(a) - b).max() for a, b in pairs))

one, losses_one = train(1)
eight, losses_eight = train(8)
same = jax.tree.map(lambda a, b: a.dtype == b.dtype, one, start)
print(json.dumps(dict(
  apart=worst(one, eight), moved=worst(one.params, start.params),
  together=together.tolist(), one=losses_one, eight=losses_eight,
  same_types=all(jax.tree.leaves(same)),
  running=jax.tree.map(lambda x: x.tolist(), one.model_state.get('running')))))
"""


def run(method, **overrides):
  """Trains three steps on one device and on eight; returns both."""
  return run_on_devices(CODE.format(method=method, overrides=overrides))
