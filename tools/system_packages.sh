#!/bin/sh
# Usage: system_packages.sh build PYTHON | simulator | browser
# Installs the missing system packages when root; otherwise names the one command that does, and fails.
set -eu

missing=""
need() { # package, then a command that succeeds where it is installed
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}
has_library() { ldconfig -p | grep -q "$1"; }
# ldconfig is in /sbin, which is not in everybody's PATH.
PATH="$PATH:/sbin:/usr/sbin"

case $1 in
build)
    need g++ command -v g++
    need cmake command -v cmake
    need ninja-build command -v ninja
    need python3-venv "$2" -c "import ensurepip"
    need python3-dev "$2" -c "import os, sysconfig; os.stat(os.path.join(sysconfig.get_paths()['include'], 'Python.h'))"
    ;;
simulator)
    need libosmesa6 has_library libOSMesa.so
    need libegl1 has_library libEGL.so.1
    need libgl1 has_library libGL.so.1
    need libglib2.0-0 has_library libglib-2.0.so.0
    ;;
browser) # where it cannot be had, as on Ubuntu, or nobody may install it, the tests that need one are skipped
    command -v chromium >/dev/null || need chromium-headless-shell command -v chromium-headless-shell
    if [ -n "$missing" ]; then
        [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || exit 0
        apt-get -qq update
        apt-cache show chromium-headless-shell >/dev/null 2>&1 || exit 0
    fi
    ;;
esac

[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "      installing:$missing"
    apt-get -qq update
    # shellcheck disable=SC2086  # one word a package
    DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends $missing >/dev/null
else
    echo "trajforecast: system packages are missing; install them, then run make again:" >&2
    echo "  sudo apt-get update && sudo apt-get install$missing" >&2
    exit 1
fi
