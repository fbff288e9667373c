# Sourced by the other scripts: creates .venv and installs a requirements file.
#   . launch/setup.sh requirements.txt ["jax[cuda12]"]
# Leaves the shell in the repository's root with $python set.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

find_python() {
  local name
  for name in ${PYTHON:-} python3.11 python3.12 python3.13 python3; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
      2>/dev/null; then
      echo "$name"
      return
    fi
  done
  echo "error: no Python 3.11 or newer found; install one, or set PYTHON to" \
    "its path." >&2
  exit 2
}

python=.venv/bin/python
if [ ! -x "$python" ]; then
  base=$(find_python)
  if ! "$base" -m venv .venv; then
    rm -rf .venv
    echo "error: $base cannot make a virtual environment; on Debian and" \
      "Ubuntu install the package python3-venv." >&2
    exit 2
  fi
fi

# Installed once per state of the requirements files and arguments. The JAX
# variant is installed in the same call, in the range of requirements.txt.
stamp=.venv/.installed-$(cat requirements*.txt | cat - <(echo "$@") \
  | sha256sum | cut -c1-16)
if [ ! -e "$stamp" ]; then
  echo "installing $1 ..." >&2
  range=$(sed -n 's/^jax\([>=].*\)/\1/p' requirements.txt)
  "$python" -m pip install --quiet --disable-pip-version-check \
    ${2:+"$2$range"} -r "$1"
  touch "$stamp"
fi
