#!/bin/sh
# Prints what pip is to install as numpy beside the sourced ROS 2, whose compiled parts were made for one of its versions:
# numpy 1 on Ubuntu 24.04 (Jazzy, Kilted), any on newer systems (Lyrical).
# $PYTHON is ROS 2's own Python.
version=$("${PYTHON:-python3}" -c "import numpy; print(numpy.__version__)" 2>/dev/null) || version=none
case "$version:${ROS_DISTRO:-}" in
1.* | none:jazzy | none:kilted) echo "numpy<2" ;;
*) echo numpy ;;
esac
