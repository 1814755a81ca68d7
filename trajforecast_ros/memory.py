"""Memory that a process frees stays its own, for the next forecast.

By default the C library hands free memory back to the kernel where there is much of it, and gets new memory for the next
forecast, which the kernel clears page by page: 2,000 page faults for every 8.4 MB, as dear as copying them.
"""

import ctypes

# Of glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGEST_KEPT = 32 * 1024 * 1024  # bytes of one block; glibc takes no more
_NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """For the rest of the process, which then holds as much as it ever needed at once. Without glibc nothing happens."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT)
    mallopt(_M_TRIM_THRESHOLD, _NEVER)
    mallopt(_M_ARENA_MAX, 1)  # what one thread frees another may take
