# Sourced by the scripts beside it: goes to the repository's root, finds a Python, makes .venv.

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Started by root, the local PostgreSQL runs as another user, who must be able to read its programs.
umask 022

# A name on the PATH proves little: a pyenv shim may point nowhere, Debian's Python may lack venv.
usable() {
  "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' </dev/null &>/dev/null
}

# Prints the first usable Python among the names given. Never .venv's own: it may have to go.
find_python() {
  local name path
  for name in "$@"; do
    while read -r path; do
      if [[ $path != "$PWD"/.venv/* ]] && usable "$path"; then
        echo "$path"
        return
      fi
    done < <(type -aP "$name")
  done
  echo "Pushcart needs Python 3.11 or later, with its venv module, on the PATH." >&2
  return 1
}

# Makes .venv current and puts its programs first on the PATH.
enter_venv() {
  local python
  python=$(find_python python3.13 python3.14 python3.12 python3.11 python3)
  "$python" -m dev.venv
  export VIRTUAL_ENV="$PWD/.venv" PATH="$PWD/.venv/bin:$PATH"
  unset PYTHONHOME
}

# Installs Pipenv with the Python given, once, and sets `pipenv` to the folder that it lies in.
install_pipenv() {
  local version=2026.10.3
  pipenv="$PWD/.dev/pipenv-$version-$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
  if [[ ! -x $pipenv/bin/pipenv ]]; then
    echo "Installing pipenv $version under .dev/"
    "$1" -m venv --clear "$pipenv"
    "$pipenv/bin/pip" --quiet --disable-pip-version-check install "pipenv==$version"
  fi
  # The lock's hash covers the sources that Pipenv takes from pip's settings, and Heroku checks that
  # hash: who calls it hides those settings, and an index of one's own comes in as a mirror.
  local mirror=${PIP_INDEX_URL:-$("$pipenv/bin/pip" config get global.index-url 2>/dev/null || true)}
  if [[ -n $mirror ]]; then export PIPENV_PYPI_MIRROR="$mirror"; fi
}
