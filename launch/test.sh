#!/usr/bin/env bash
# Installs, says what it runs and how long it takes, and runs tests.
#   launch/test.sh          the fast tests
#   launch/test.sh PATH     those of a file or folder, fast and slow
#   launch/test.sh --slow   the slow tests, before a release
#   launch/test.sh ...      any other arguments of pytest
. "$(dirname "$0")/setup.sh" requirements-dev.txt
if [ $# -eq 0 ]; then
  echo "the fast tests: about 7 minutes on 2 CPU cores, less once" \
    "compilations are cached in .cache/jax"
elif [ "$1" = --slow ]; then
  echo "the slow tests: they train every option and method end to end"
  set -- -m slow "${@:2}"
elif [ -e "${1%%::*}" ]; then
  echo "all tests of $*, slow ones too"
  set -- -m "" "$@"
fi
exec "$python" -m pytest "$@"
