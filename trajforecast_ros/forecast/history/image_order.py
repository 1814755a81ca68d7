"""Which images of a camera go on from those before, and how far back that reaches. No ROS in here."""

MAX_GAP = 5.0  # steps without an image after which a point's way in between is a guess
LATE = 2.0  # steps by which an image may be overtaken on its way; one that is older is of another time


class ImageOrder:
    """Of the images that were noted since it last began anew.

    Args:
        step: nanoseconds of a step of the model.
    """

    def __init__(self, step: int):
        self._step = step
        self.forget()

    def forget(self) -> None:
        """Begins anew."""
        self._span: tuple[int, int] | None = None  # times of the first image and of the last: one assignment
        self._overtaken = False

    def is_due(self, time: int) -> bool:
        """Whether an image of that time, nanoseconds, adds to the past: a fast camera's need not all be looked at."""
        return self._span is None or abs(self._later(time)) >= 0.5

    def leaves_out(self, time: int) -> bool:
        """Whether it is the last image again, or one that was only overtaken on its way."""
        if self._span is None:
            return False
        later = self._later(time)
        overtaken = -LATE <= later < 0 and not self._overtaken
        self._overtaken = self._overtaken or overtaken
        return later == 0 or overtaken

    def begins_anew(self, time: int) -> bool:
        """Whether it is of another time than those before: after a gap, or when the clock has jumped back."""
        return self._span is not None and not 0 <= self._later(time) <= MAX_GAP

    def note(self, time: int) -> None:
        """The image was taken in."""
        self._span, self._overtaken = (time if self._span is None else self._span[0], time), False

    @property
    def steps(self) -> int:
        """Steps from the first image to the last, to the nearest. Any thread may ask."""
        span = self._span
        return 0 if span is None else round((span[1] - span[0]) / self._step)

    def _later(self, time: int) -> float:
        """Steps since the last image."""
        return (time - self._span[1]) / self._step
