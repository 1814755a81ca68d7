#!/bin/sh
# Prints the first Python that ROS 2 can be had for: the sourced ROS 2's own, else 3.11 or 3.12, which have ROS 2 wheels.
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
echo "trajforecast: no Python 3.11 or 3.12 found, and no ROS 2 is sourced; install one, or name it: make PYTHON=..." >&2
echo python-not-found
