"""Which frames of a demo make which window."""


def window_starts(num_frames: int, stride: int) -> range:
    """Every `stride`-th frame but the last, after which nothing moves."""
    return range(0, max(1, num_frames - 1), stride)


def window_frames(start: int, num_frames: int, window: int) -> tuple[list[int], int]:
    """The frames of a window, the demo's last one repeated where it runs out (ATM), and how many are real."""
    frames = [min(start + step, num_frames - 1) for step in range(window)]
    return frames, min(window, num_frames - start)
