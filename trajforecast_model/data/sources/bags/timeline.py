"""When pictures were taken, and which of them make which episode: times in, numbers out.

Times are int64 nanoseconds. A frame of an episode is a moment of a grid, and of each view the newest picture that is not
later. Where a view has none that is new enough, or a clock jumps, the episode ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Heard:
    """What came of one topic, in the order in which it came.

    stamps: when each picture was taken. times: when it was recorded.
    """

    stamps: np.ndarray
    times: np.ndarray


@dataclass(frozen=True)
class Said:
    """A message that ends an episode. words: what the robot is told from then on, None where that is not changed.
    recording: whether what follows is of an episode, None where that is not changed."""

    time: int  # when it was recorded
    place: int  # how many pictures, of all topics, were written before it
    words: str | None = None
    recording: bool | None = None


@dataclass(frozen=True, eq=False)
class Stretch:
    """An episode. picks: by view, of each frame the number of its picture among those that came of the topic."""

    start: int  # the first frame's moment
    words: str
    picks: dict[str, np.ndarray]
    oldest: int  # nanoseconds that a picture was taken before its frame's moment, at most

    @property
    def num_frames(self) -> int:
        return len(next(iter(self.picks.values())))


@dataclass
class Count:
    """Of one view: what was left out, and what ended episodes."""

    repeated: int = 0  # pictures with the stamp of the one before
    late: int = 0  # pictures that came after a newer one
    jumps: list[int] = field(default_factory=list)  # stamps of the first pictures after the clock went back
    gaps: list[tuple[int, int]] = field(default_factory=list)  # stamps of the pictures around each


class Timeline:
    """The pictures of all views in the order in which they came, parted into episodes.

    Args:
        heard: by view.
        order: for each picture as it was written, (index of its view, its number).
        dt: between two frames, nanoseconds.
        max_age: that a picture may be older than its frame's moment, nanoseconds.
    """

    def __init__(self, heard: dict[str, Heard], order: np.ndarray, dt: int, max_age: int):
        self._heard, self._dt, self._max_age = heard, dt, max_age
        self._views = list(heard)
        self.counts = {view: Count() for view in heard}
        self._kept = {view: self._sort_out(view) for view in heard}
        # Else the recorder's clock jumped, and its times order nothing.
        self._by_time = all((np.diff(each.times) >= 0).all() for each in heard.values())
        self._order = self._order_of_times() if self._by_time else order

    def episodes(self, said: Sequence[Said], words: str, recording: bool = True) -> list[Stretch]:
        """Stretches of one frame, in which nothing moves, are left out.

        Args:
            said: what ends episodes, as it was written.
            words: that the robot is told until something else is said.
            recording: whether an episode is recorded until something else is said.
        """
        found = []
        for cut, pictures in self._between(said):
            if cut is not None:
                words = words if cut.words is None else cut.words
                recording = recording if cut.recording is None else cut.recording
            if recording:
                found += self._runs(pictures, words)
        return found

    def _order_of_times(self) -> np.ndarray:
        """As `order`: whoever wrote the bag may have written one topic after the other."""
        lengths = [len(each.times) for each in self._heard.values()]
        order = np.stack(
            [np.repeat(np.arange(len(lengths)), lengths), np.concatenate([np.arange(n) for n in lengths])], 1
        )
        return order[np.argsort(np.concatenate([each.times for each in self._heard.values()]), kind="stable")]

    def _sort_out(self, view: str) -> np.ndarray:
        """Of each picture: 0 left out, 1 kept, 2 kept and the first after the clock went back."""
        count, stamps = self.counts[view], self._heard[view].stamps
        kept = np.ones(len(stamps), np.int8)
        newest = None
        for index, stamp in enumerate(stamps.tolist()):
            if newest is None:
                pass
            elif stamp > newest:
                if stamp - newest > self._max_age:
                    count.gaps.append((newest, stamp))
            elif stamp == newest:
                count.repeated += 1
                kept[index] = 0
                continue
            elif index + 1 < len(stamps) and stamps[index + 1] > newest:
                count.late += 1
                kept[index] = 0
                continue
            else:
                count.jumps.append(stamp)
                kept[index] = 2
            newest = stamp
        return kept

    def _between(self, said: Sequence[Said]) -> list[tuple[Said | None, dict[str, list[int]]]]:
        """Pictures by view between what ends episodes, and what was said at the beginning of each."""
        parts: list[tuple[Said | None, dict[str, list[int]]]] = [(None, {view: [] for view in self._views})]
        waiting = sorted(said, key=lambda each: each.time) if self._by_time else list(said)
        for place, (index, number) in enumerate(self._order.tolist()):
            view = self._views[index]
            kept = self._kept[view][number]
            if not kept:
                continue
            while waiting and self._is_before(waiting[0], view, number, place):
                parts.append((waiting.pop(0), {view: [] for view in self._views}))
            if kept == 2 and parts[-1][1][view]:
                parts.append((None, {view: [] for view in self._views}))
            parts[-1][1][view].append(number)
        return parts

    def _is_before(self, said: Said, view: str, number: int, place: int) -> bool:
        return said.time <= self._heard[view].times[number] if self._by_time else said.place <= place

    def _runs(self, pictures: dict[str, list[int]], words: str) -> list[Stretch]:
        """Pictures of one clock to episodes: grids between gaps."""
        if not all(pictures.values()):
            return []
        numbers = {view: np.array(each) for view, each in pictures.items()}
        stamps = {view: self._heard[view].stamps[each] for view, each in numbers.items()}
        starts = np.unique(np.concatenate(list(stamps.values())))  # a grid begins with a picture
        starts = starts[starts >= max(each[0] for each in stamps.values())]
        _, fresh = self._newest(stamps, starts)
        starts = starts[fresh]
        found = []
        while len(starts):
            start = int(starts[0])
            end = self._end_of_run(start, stamps)
            moments = np.arange(start, end + 1, self._dt)
            picks, fresh = self._newest(stamps, moments)
            if not fresh.all():
                length = int(np.argmin(fresh))
                end = int(moments[length])
                # The last pictures before a gap are not shown again and again.
                last = min(stamps[view][pick[length - 1]] for view, pick in picks.items())
                moments = moments[:length][moments[:length] <= last]
            if len(moments) > 1:
                picks = {view: pick[: len(moments)] for view, pick in picks.items()}
                oldest = max(int((moments - stamps[view][pick]).max()) for view, pick in picks.items())
                found.append(Stretch(start, words, {view: numbers[view][pick] for view, pick in picks.items()}, oldest))
            starts = starts[starts > max(start, end)]
        return found

    def _end_of_run(self, moment: int, stamps: dict[str, np.ndarray]) -> int:
        """The last picture of the view that is the first to have none for longer than any grid bears."""
        ends = []
        for each in stamps.values():
            first = np.searchsorted(each, moment, "right") - 1
            gaps = np.flatnonzero(np.diff(each[first:]) > self._max_age + self._dt)
            ends.append(int(each[first + gaps[0]] if len(gaps) else each[-1]))
        return min(ends)

    def _newest(self, stamps: dict[str, np.ndarray], moments: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """By view, of each moment the newest picture that is not later; and at which moments all are new enough."""
        picks = {view: np.searchsorted(each, moments, "right") - 1 for view, each in stamps.items()}
        fresh = np.ones(len(moments), bool)
        for view, pick in picks.items():
            fresh &= (pick >= 0) & (moments - stamps[view][pick] <= self._max_age)
        return picks, fresh
