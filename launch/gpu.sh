#!/usr/bin/env bash
# One machine with NVIDIA GPUs (driver for CUDA 12): installs JAX for them,
# then runs the program on all of them.
#   launch/gpu.sh --config=configs/coco_stuff.py --workdir=DIR
. "$(dirname "$0")/setup.sh" requirements.txt "jax[cuda12]"
exec "$python" -m causal_mlr_jax.main "$@"
