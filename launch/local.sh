#!/usr/bin/env bash
# From a fresh machine to a causal model: installs, then trains and evaluates
# on the embedded data set, on this machine's CPU or whatever JAX finds.
#   launch/local.sh [flags of causal_mlr_jax.main]
. "$(dirname "$0")/setup.sh" requirements.txt
case " $* " in
  *" --config="* | *" --config "*) ;;
  *) set -- --config=configs/context_emoji.py "$@" ;;
esac
exec "$python" -m causal_mlr_jax.main "$@"
