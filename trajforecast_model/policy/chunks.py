"""Chunks of actions over time: newer ones are blended with what older ones said of the same moments."""

import numpy as np

GRIPPER = 6  # of an action


class BlendedChunks:
    """What several chunks, each made at its own control step, say together of a step.

    Args:
        blend: weight of a chunk against the one after it; 0 for the newest alone.
    """

    def __init__(self, blend: float):
        self._blend = blend
        self._chunks: list[tuple[int, np.ndarray]] = []  # oldest first: its first step, [chunk, 7]

    def add(self, step: int, chunk: np.ndarray) -> None:
        """A chunk whose first action is that of `step`."""
        self._chunks = [known for known in self._chunks if known[0] + len(known[1]) > step]
        self._chunks.append((step, chunk))

    def clear(self) -> None:
        self._chunks.clear()

    def action(self, step: int) -> np.ndarray | None:
        """float64 [7] in [-1, 1], fingers told to open or to close and nothing between; None where no chunk reaches `step`.

        Its numbers are float32's, as which actions travel over ROS: so they are the same there and in process.
        """
        said = [chunk[step - first] for first, chunk in self._chunks if first <= step < first + len(chunk)]
        if not said:
            return None
        weights = self._blend ** np.arange(len(said) - 1, -1, -1.0)  # the newest has 1
        action = np.clip(weights @ np.array(said, np.float64) / weights.sum(), -1, 1)
        action[GRIPPER] = 1.0 if action[GRIPPER] > 0 else -1.0
        return action.astype(np.float32).astype(np.float64)
