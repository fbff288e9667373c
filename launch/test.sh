#!/usr/bin/env bash
# Installs, then runs the test suite (the fast tests; all of them with -m '').
#   launch/test.sh [arguments of pytest]
. "$(dirname "$0")/setup.sh" requirements-dev.txt
exec "$python" -m pytest "$@"
