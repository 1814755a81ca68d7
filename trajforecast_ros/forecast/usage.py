"""What becomes of the images that the forecast thread takes, told to whoever asks how the node stands."""

import time
from collections.abc import Iterable


class Usage:
    """Written by the forecast thread, read by others: every note is one assignment."""

    def __init__(self):
        self.refused: dict[str, str] = {}  # by view, why its last image was
        self.failure = ""  # of the last forecast, if it was one
        self._used_at: dict[str, float] = {}
        self._working: tuple[str, float] | None = None  # on what, since when
        self._wanted_since: float | None = None

    def begin(self, is_call: bool) -> None:
        self._working = ("a ~/predict call" if is_call else "a forecast", time.monotonic())

    def rest(self) -> None:
        self._working = None

    def used(self, views: Iterable[str]) -> None:
        """A forecast of these cameras was published."""
        self.failure = ""
        self._used_at = {**self._used_at, **dict.fromkeys(views, time.monotonic())}

    def seconds_since_used(self, now: float) -> dict[str, float]:
        """By view; those that never were are left out."""
        return {view: now - at for view, at in self._used_at.items()}

    def working(self, now: float) -> tuple[str, float]:
        """What keeps the thread from the newest images, and for how many seconds it has; nothing and 0 when it waits."""
        working = self._working
        if working is None:
            return "", 0.0
        return working[0], now - max(working[1], *self._used_at.values(), 0.0)

    def seconds_without(self, now: float, wanted: bool) -> float:
        """For how long no forecast was published although one was wanted each time that this was asked."""
        if not wanted:
            self._wanted_since = None
            return 0.0
        if self._wanted_since is None:
            self._wanted_since = now
        return now - max(self._wanted_since, *self._used_at.values(), 0.0)
