"""Forecasts that go on with the motion so far and know nothing else: what a model that sees the past has to beat.

All take the past of the present grid's points, oldest frame first and the present one not included, and where they were
visible in it; a frame that there was not is visible nowhere. A point whose last past position is hidden stays still.
"""

import numpy as np

DECAY = 0.93  # of the velocity, a step


def constant_velocity(
    points: np.ndarray, history: np.ndarray, visible: np.ndarray, num_frames: int, decay: float = 1.0
) -> np.ndarray:
    """Every point goes on as it moved between the last past frame and now.

    Args:
        points: [..., 2], where the points are now.
        history: [n, ..., 2], where they were; n may be 0.
        visible: bool [n, ...]
        num_frames: T, the present one included.
        decay: the velocity of a step is this times that of the step before it, the observed one the first of these.

    Returns:
        float32 [T, ..., 2]; index 0 is `points`.

    Raises:
        ValueError: for shapes that do not belong together.
    """
    _check(points, history, visible)
    velocity = np.zeros_like(points)
    if len(history):
        velocity = np.where(visible[-1][..., None], points - history[-1], 0)
    steps = steps_ahead(num_frames, decay).reshape(-1, *[1] * points.ndim)
    return (points + steps * velocity).astype(np.float32)


def steps_ahead(num_frames: int, decay: float) -> np.ndarray:
    """How many times the observed velocity a point has gone at each frame, float64 [T]."""
    return np.concatenate([[0], np.cumsum(decay ** np.arange(1, num_frames))])


def last_motion_repeated(points: np.ndarray, history: np.ndarray, visible: np.ndarray, num_frames: int) -> np.ndarray:
    """Every point does again, from where it is, what it did just before.

    Its displacements over the last n past steps are replayed from now in the order in which they were made, and again
    from the first of them where the horizon is longer. n is the number of steps of the horizon, or of the frames right
    before now in all of which the point is visible where these are fewer. Arguments and errors as `constant_velocity`.
    """
    _check(points, history, visible)
    future = np.empty((num_frames, *points.shape), np.float32)
    future[:] = points
    seen_without_a_gap = np.logical_and.accumulate(visible[::-1]).sum(axis=0)
    past_steps = np.minimum(seen_without_a_gap, num_frames - 1)
    for n in np.unique(past_steps[past_steps > 0]):
        chosen = past_steps == n
        path = np.concatenate([history[-n:][:, chosen], points[chosen][None]])  # [n + 1, P, 2]
        rounds, steps = np.divmod(np.arange(num_frames), n)
        future[:, chosen] = points[chosen] + (path[steps] - path[0]) + rounds[:, None, None] * (path[-1] - path[0])
    return future


def _check(points: np.ndarray, history: np.ndarray, visible: np.ndarray) -> None:
    if history.shape[1:] != points.shape or visible.shape != history.shape[:-1] or visible.dtype != bool:
        raise ValueError(
            f"expected points [..., 2], history [n, ..., 2] and visible bool [n, ...], got {list(points.shape)}, "
            f"{list(history.shape)} and {visible.dtype} {list(visible.shape)}"
        )
