#!/usr/bin/env bash
# Installs, then runs the fast tests, or all tests with -m ''.
#   launch/test.sh [arguments of pytest]
. "$(dirname "$0")/setup.sh" requirements-dev.txt
exec "$python" -m pytest "$@"
