"""Memory for messages of several megabytes, which come again and again."""

import ctypes
import sys

# glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3

KEPT_BYTES = 256 << 20
LARGEST_BLOCK = 32 << 20  # the most that glibc takes


def keep_freed_memory() -> None:
    """Has this process keep up to 256 MB that it freed for what it allocates next. Does nothing without glibc.

    Otherwise glibc gives a message's memory back to the kernel once it is freed, and gets the next one's as new pages,
    each of which is cleared when it is first touched: of the time in which rclpy takes a PredictedTracks message, two
    thirds. A process that is not Python gets the same from MALLOC_TRIM_THRESHOLD_=268435456 and
    MALLOC_MMAP_THRESHOLD_=33554432 in its environment.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
