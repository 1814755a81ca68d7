"""When a trained policy is asked for the next actions, and what the arm is told in each control step. No ROS in here.

Time is that of the stamps, and a control step is the policy's `dt`. A chunk begins in the step of the images that it was
made from, so a forecast that comes late costs the beginning of its chunk and nothing else.
"""

from dataclasses import dataclass

import numpy as np

from trajforecast_model.policy.chunks import GRIPPER, BlendedChunks
from trajforecast_model.policy.policy import Futures, Policy

_REMEMBERED = 64  # moments, whose forecasts may still come


@dataclass(frozen=True)
class Moment:
    """What there was to see and to feel; stamp in nanoseconds, of the newest image."""

    stamp: int
    images: dict[str, np.ndarray]
    joints: np.ndarray  # [7]
    fingers: np.ndarray  # [2]


class Acting:
    """
    Args:
        waits: the world stands still until it gets an action (lockstep): where a chunk is due, its forecast is waited for.
            Otherwise the chunk before goes on meanwhile.
        max_age: seconds that the images of a forecast may be older than the newest ones.
    """

    def __init__(self, policy: Policy, waits: bool, max_age: float):
        self._policy, self._waits, self._max_age = policy, waits, max_age
        self._chunks = BlendedChunks(policy.config.execution.blend)
        self.reset()

    def reset(self) -> None:
        """A new episode: forgets all that was seen and said."""
        self._moments: dict[int, Moment] = {}
        self._first: int | None = None  # stamp of the episode's first moment
        self._asked: int | None = None  # step of the newest chunk
        self._answered: int | None = None  # stamp of the moment that was answered last
        self._forecast: tuple[int, dict[str, Futures]] | None = None
        self._fingers = -1.0  # open, as at the start
        self._chunks.clear()

    def see(self, moment: Moment) -> None:
        """Moments come in the order of their stamps; one that is older than the newest begins a new episode."""
        if self._moments and moment.stamp < max(self._moments):
            self.reset()
        if self._first is None:
            self._first = moment.stamp
        self._moments[moment.stamp] = moment
        for old in sorted(self._moments)[:-_REMEMBERED]:
            del self._moments[old]

    def hear(self, stamp: int, futures: dict[str, Futures]) -> str | None:
        """A forecast of the images with that stamp. Says why it is refused, or None where it is taken."""
        if not self._moments:
            return "a forecast came before any images and joints"
        age = (max(self._moments) - stamp) / 1e9
        if age > self._max_age:
            return f"a forecast is of images more than {self._max_age:g} s older than the newest"
        if stamp not in self._moments:
            return "a forecast is of images that were not seen together with the joints"
        if missing := [view for view in self._policy.config.views if view not in futures]:
            return f"a forecast lacks the view {' and '.join(missing)}"
        self._forecast = (stamp, futures)
        return None

    def action(self, instruction: str) -> np.ndarray | None:
        """[7] for the newest moment; None where that was answered, or where nothing can be said of it yet.

        Raises:
            ValueError: where the forecast or the joints are not what the policy takes.
        """
        if not self._moments or (now := max(self._moments)) == self._answered:
            return None
        self._ask(now, instruction)
        if self._waits and self._is_due(self._step(now)):
            return None
        action = self._chunks.action(self._step(now))
        if action is not None:
            self._answered, self._fingers = now, action[GRIPPER]
        return action

    def hold(self) -> np.ndarray:
        """[7], which leaves the arm where it is and what it holds in its hand."""
        return np.array([0.0] * 6 + [self._fingers])

    def _ask(self, now: int, instruction: str) -> None:
        """For a chunk, where one is due and can be made."""
        if not self._policy.needs_tracks:
            if self._is_due(self._step(now)):
                self._add(now, None, instruction)
            return
        if self._forecast is None or self._forecast[0] not in self._moments:
            return
        stamp, futures = self._forecast
        if self._is_due(self._step(stamp)):
            self._forecast = None  # one that raises is not tried again
            self._add(stamp, self._policy.told(futures), instruction)

    def _add(self, stamp: int, told: np.ndarray | None, instruction: str) -> None:
        moment, step = self._moments[stamp], self._step(stamp)
        self._chunks.add(step, self._policy.chunk(moment.images, moment.joints, moment.fingers, instruction, told))
        self._asked = step

    def _is_due(self, step: int) -> bool:
        return self._asked is None or step - self._asked >= self._policy.config.execution.every

    def _step(self, stamp: int) -> int:
        return round((stamp - self._first) / 1e9 / self._policy.config.dt)
