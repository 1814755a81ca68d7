#!/bin/sh
# Usage: VENV=... build_messages.sh CMAKE_OPTION...
# Builds trajforecast_msgs into the environment $VENV; shows the build's output only when it fails.
set -eu
build="$VENV/build-trajforecast_msgs"
log="$VENV/build-trajforecast_msgs.log"
rm -rf "$build"
if ! {
    cmake -S trajforecast_msgs -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF \
        -DCMAKE_INSTALL_PREFIX="$VENV" -DPython3_EXECUTABLE="$VENV/bin/python" "$@" &&
        cmake --build "$build" && cmake --install "$build"
} >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    echo "trajforecast: building trajforecast_msgs failed; the whole output is in $log" >&2
    exit 1
fi
rm -rf "$build"
