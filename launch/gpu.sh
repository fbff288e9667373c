#!/usr/bin/env bash
# One machine with NVIDIA GPUs (driver for CUDA 12): installs JAX for them,
# then runs the program on all of them.
#   launch/gpu.sh --config=configs/coco_stuff.py --workdir=DIR
. "$(dirname "$0")/setup.sh" requirements.txt "jax[cuda12]"
# With jax 0.11.2, XLA aborted on an H100 when compiling the evaluation, because
# of a failed check in its Triton fusion of matrix products. This uses cuBLAS.
export XLA_FLAGS="--xla_gpu_enable_triton_gemm=false ${XLA_FLAGS:-}"
exec "$python" -m causal_mlr_jax.main "$@"
