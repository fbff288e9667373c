"""Confounders do not depend on how many devices and processes make them."""

import sys

import numpy as np
import pytest

from tests import small
from tests.devices import run_on_devices
from tests.processes import finish, slurm, start_each

# 90 images, by which no number of devices or processes divides evenly, in
# batches of 16; of each map 7 of 64 positions, or all.
CODE = """
import json, pathlib, jax, numpy as np
from causal_mlr_jax.confounders import features, image_sets
from tests import small
from tests.confounders.test_build import run_of

kept = []

def watched(*args):
  kept.append(of_each(*args))
  return kept[-1]

of_each, features._of_each = features._of_each, watched
dataset = small.dataset({data!r})
chosen = image_sets.Images(
  {of!r}, image_sets.Split(dataset, 'train[:90]'),
  (image_sets.Split(dataset, 'test[:20]'),), 'decode')
result = {{}}
for kind in {kinds!r}:
  for name, most in (('all', 64), ('some', 7)):
    folder = pathlib.Path({folder!r}) / kind / name
    built = run_of(
      chosen, folder, kind=kind, max_positions=most * chosen.chosen().size,
      batch_size=16)
    centres, prior = built.confounders
    result |= {{
      f'{{kind}} {{name}} centres': centres, f'{{kind}} {{name}} prior': prior,
      f'{{kind}} {{name}} share': built.context_share,
      f'{{kind}} {{name}} positions': built.provenance.get('positions', 0)}}
result['rows'] = np.asarray([len(each.features) for each in kept])
np.savez(f'{folder}/{{jax.process_index()}}.npz', **result)
print(json.dumps('done'))
"""
JOIN = "from causal_mlr_jax.core import parallel; parallel.initialize()\n"
KINDS = {"source": ("kmeans", "early", "label", "random"), "both": ("kmeans",)}


def run_in_two_processes(code):
  command = [sys.executable, "-c", JOIN + code]
  finish(start_each(command, slurm(processes=2, devices=4)))


@pytest.mark.slow
@pytest.mark.parametrize("of", ["both", "source"])
def test_devices_and_processes_change_nothing(of, tmp_path):
  small.dataset(tmp_path / "data")

  def code(name):
    fields = {"data": str(tmp_path / "data"), "folder": str(tmp_path / name)}
    return CODE.format(of=of, kinds=KINDS[of], **fields)

  run_on_devices(code("one"), devices=1)
  run_on_devices(code("eight"))
  run_in_two_processes(code("two"))
  one, eight, first, second = (
    dict(np.load(tmp_path / name))
    for name in ("one/0.npz", "eight/0.npz", "two/0.npz", "two/1.npz")
  )
  size = {"source": 90, "both": 110}[of]
  for rows in (one.pop("rows"), eight.pop("rows")):
    assert set(rows) == {size, 90}
  # Of each batch of 16 a process holds 8.
  halves = {8 * -(-number // 16) for number in (size, 90)}
  for rows in (first.pop("rows"), second.pop("rows")):
    assert set(rows) == halves
  for key, want in one.items():
    np.testing.assert_array_equal(second[key], first[key], err_msg=key)
    for got in (eight[key], first[key]):
      np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5, err_msg=key)
