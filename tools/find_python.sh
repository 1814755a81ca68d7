#!/bin/sh
# Prints the first Python that ROS 2 can be had for: the sourced ROS 2's own, else 3.11 or 3.12, which have ROS 2 wheels.
# Without one it prints python3, which the system packages may still bring; with --check it fails instead.
# A pyenv shim may exist for a Python that does not run, so each candidate is run.
if [ -n "$ROS_DISTRO" ] && python3 -c "import rclpy" 2>/dev/null; then
    echo python3
    exit
fi
for candidate in python3 python3.12 python3.11; do
    if "$candidate" -c "import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))" 2>/dev/null; then
        echo "$candidate"
        exit
    fi
done
if [ "${1:-}" = --check ]; then
    echo "trajforecast: no ROS 2 is sourced, and there is no Python 3.11 or 3.12, which its wheels need; install one" >&2
    exit 1
fi
echo python3
