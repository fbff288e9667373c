#!/usr/bin/env bash
# For one TPU VM, or for every host of a slice (run it on all of them with
# `gcloud compute tpus tpu-vm ssh --worker=all`): installs JAX for TPUs, joins
# the other hosts and runs the program. The workdir and the data must be on a
# disk or bucket that all hosts share.
#   launch/tpu_vm.sh --config=configs/coco_stuff.py --workdir=DIR
. "$(dirname "$0")/setup.sh" requirements.txt "jax[tpu]"
exec "$python" -m causal_mlr_jax.main --distributed "$@"
