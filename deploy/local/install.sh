#!/bin/sh
# Makes the virtual environment and installs pinned, hash-checked requirements into it.
# usage: install.sh <environment> <requirements file>…
set -eu

venv=$1
shift
python=${PYTHON:-python3}

command -v "$python" >/dev/null || {
    echo "Python 3.11 or later is missing. On Debian: apt-get install python3 python3-venv" >&2
    exit 1
}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "$("$python" --version) is too old: Parley needs 3.11 or later. Name another one: PYTHON=python3.12 make …" >&2
    exit 1
}
if ! "$venv/bin/python" -c '' 2>/dev/null || ! [ -x "$venv/bin/pip" ]; then
    "$python" -c 'import ensurepip, venv' 2>/dev/null || {
        echo "Python's venv module is missing. On Debian: apt-get install python3-venv" >&2
        exit 1
    }
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi
echo "installing $* into $venv (about a minute, only when they change) …" >&2
for file in "$@"; do
    set -- "$@" -r "$file"
    shift
done
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-input --no-compile --require-hashes "$@" >&2
