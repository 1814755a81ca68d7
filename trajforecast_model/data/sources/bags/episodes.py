"""The episodes in a bag: which pictures make them, and what the robot was told in them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trajforecast_model.bags.bag import Bag, BagMessage
from trajforecast_model.bags.sqlite_file import EVER
from trajforecast_model.data.sources.bags.pictures import PICTURE_TYPES, VIDEO, PictureStream, read
from trajforecast_model.data.sources.bags.timeline import Heard, Said, Stretch, Timeline
from trajforecast_model.data.sources.interface import SPEAK, SourceOptions

STRING, BOOL = "std_msgs/msg/String", "std_msgs/msg/Bool"
INSTRUCTION = "forecast_node/instruction"  # as our nodes call it, in whatever namespace
# How a view's topic may end where its name is not given, as record_node records it.
USUAL_ENDS = ("image_raw", "image_raw/compressed", "image_raw/ffmpeg")
DEFAULT_MAX_AGE = 0.1  # seconds
_NAMED_IN_AN_ERROR = 20
_SECOND = 1_000_000_000


class SilentBag(ValueError):
    """A bag in which nothing says what the robot is told."""


@dataclass(frozen=True, eq=False)
class BagEpisode:
    """picks: by view, of each frame the number of its picture among those of `topics` that were recorded from `start`
    until before `stop` (nanoseconds)."""

    bag: Path
    number: int
    words: str
    topics: dict[str, str]
    picks: dict[str, np.ndarray]
    start: int
    stop: int
    begins: int  # the first frame's moment, nanoseconds

    @property
    def num_frames(self) -> int:
        return len(next(iter(self.picks.values())))


@dataclass(frozen=True)
class BagContent:
    """notes: what there is to say of how it was read. lines: of what is in it, for people."""

    episodes: list[BagEpisode]
    notes: list[str]
    lines: list[str]


def look_into(path: Path, options: SourceOptions) -> BagContent:
    """Reads the bag through once, and decodes a picture of each view.

    Raises:
        ValueError: where it cannot be read, lacks a topic, or gives no episode.
    """
    with Bag(path) as bag:
        topics = _view_topics(bag, options)
        said_topic, marks_topic = _instruction_topic(bag, options), _episodes_topic(bag, options)
        return _Look(bag, topics, said_topic, marks_topic, options).content()


class _Look:
    def __init__(
        self, bag: Bag, topics: dict[str, str], said_topic: str | None, marks_topic: str | None, options: SourceOptions
    ):
        self._bag, self._topics, self._options = bag, topics, options
        self._said_topic, self._marks_topic = said_topic, marks_topic
        self._max_age = max_age_of(options)
        self._said: list[Said] = []
        self._notes = _what_is_not_whole(bag)
        self._heard, order = self._read()
        self._check_pictures()
        self._timeline = Timeline(
            self._heard, order, round(options.dt * _SECOND), round(self._max_age * _SECOND)
        )  # fmt: skip

    def content(self) -> BagContent:
        words, said = self._words_at_first()
        stretches = self._timeline.episodes(said, words, self._recorded_at_first())
        told = [stretch for stretch in stretches if stretch.words]
        if not stretches:
            raise ValueError(f"{self._bag.path} has no episode: {self._why_none()}")
        if not told:
            raise SilentBag(f"no instruction in {self._bag.path}; {self._how_to_speak()}")
        if left_out := len(stretches) - len(told):
            self._notes.append(f"{left_out} stretches in which nothing had been said yet are left out")
        episodes = [self._episode(number, stretch) for number, stretch in enumerate(told)]
        return BagContent(episodes, [f"{self._bag.path}: {note}" for note in self._notes], self._lines(told))

    def _read(self) -> tuple[dict[str, Heard], np.ndarray]:
        """Every picture's times, by view, and their order as they were written."""
        views = {topic: view for view, topic in self._topics.items()}
        indices = {view: index for index, view in enumerate(self._topics)}
        streams = {view: PictureStream() for view in self._topics}
        times: dict[str, list[tuple[int, int]]] = {view: [] for view in self._topics}
        order: list[tuple[int, int]] = []
        others = {topic for topic in (self._said_topic, self._marks_topic) if topic}
        try:
            for message in self._bag.as_written({*views, *others}):
                if message.topic in others:
                    self._hear(message, len(order))
                if view := views.get(message.topic):
                    for picture in streams[view].pictures(message):
                        if not times[view]:
                            _look_at(picture, self._topics[view], self._bag.path)
                        order.append((indices[view], len(times[view])))
                        times[view].append((picture.stamp, picture.time))
        except _Refused:
            raise
        except ValueError as error:
            if not order:
                raise
            self._notes.append(f"{error}; what comes before is used")
        return {view: self._as_heard(each) for view, each in times.items()}, np.array(order, np.int64).reshape(-1, 2)

    def _hear(self, message: BagMessage, place: int) -> None:
        if message.topic == self._said_topic:
            words = " ".join(read(message).data.split())
            if words != self._words_so_far():
                self._said.append(Said(message.time, place, words=words))
        if message.topic == self._marks_topic:
            recording = bool(read(message).data) if message.type_name == BOOL else None
            self._said.append(Said(message.time, place, recording=recording))

    def _words_so_far(self) -> str | None:
        return next((said.words for said in reversed(self._said) if said.words is not None), None)

    def _words_at_first(self) -> tuple[str, list[Said]]:
        """What the robot is told in the beginning, and what is said after it. A latched topic's first message had been
        said before, however late it was recorded."""
        first = next((said for said in self._said if said.words is not None), None)
        if first is not None and self._bag.topics[self._said_topic].latched:
            return first.words, [said for said in self._said if said is not first]
        return self._bag.instruction or self._options.instruction, self._said

    def _recorded_at_first(self) -> bool:
        """Before the first `true`, nothing is recorded."""
        return next((not said.recording for said in self._said if said.recording is not None), True)

    def _as_heard(self, times: list[tuple[int, int]]) -> Heard:
        stamps, recorded = np.array(times, np.int64).reshape(-1, 2).T
        return Heard(recorded if self._options.bags.stamps == "receive" else stamps, recorded)

    def _check_pictures(self) -> None:
        for view, topic in self._topics.items():
            stamps = self._heard[view].stamps
            if not len(stamps):
                raise ValueError(f"{self._bag.path} has no picture on {topic}, the view {view}")
            if len(stamps) > 2 and (usual := float(np.median(np.diff(np.sort(stamps)))) / _SECOND) > self._max_age:
                raise ValueError(
                    f"{self._bag.path}: pictures of {view} ({topic}) come every {usual:.3g} s, and may be at most "
                    f"{self._max_age:g} s old; give --dt {usual:.3g}, or a larger --max-age to see some twice"
                )
            if len(stamps) > 2 and usual > 1.05 * self._options.dt:
                self._notes.append(
                    f"pictures of {view} come every {usual:.3g} s and frames every {self._options.dt:g} s, so some are "
                    f"the same; --dt {usual:.3g} avoids it"
                )

    def _why_none(self) -> str:
        ranges = {view: (int(each.stamps.min()), int(each.stamps.max())) for view, each in self._heard.items()}
        begin, end = max(first for first, _ in ranges.values()), min(last for _, last in ranges.values())
        if begin > end:
            zero = min(first for first, _ in ranges.values())
            told = " and ".join(
                f"{view} has pictures from {(first - zero) / _SECOND:.2f} to {(last - zero) / _SECOND:.2f} s"
                for view, (first, last) in ranges.items()
            )
            return (
                f"its views never overlap: {told}; give --stamps receive if the cameras' clocks differ, or --view once for "
                "one camera"
            )
        return (
            f"at no two moments {self._options.dt:g} s apart every view has a picture at most {self._max_age:g} s old; "
            "look at --dry-run of one view, and at --max-age"
        )

    def _how_to_speak(self) -> str:
        strings = [topic.name for topic in self._bag.topics.values() if topic.type_name == STRING]
        there = f", or --instruction-topic, of {', '.join(strings)}" if strings else ""
        return f"{SPEAK}{there}"

    def _episode(self, number: int, stretch: Stretch) -> BagEpisode:
        begin, end = EVER
        if not any(self._bag.topics[topic].type_name == VIDEO for topic in self._topics.values()):
            # A picture of a video needs those before it; the others are found at once.
            used = [self._heard[view].times[pick] for view, pick in stretch.picks.items()]
            begin, end = min(int(each.min()) for each in used), max(int(each.max()) for each in used) + 1
        picks = {}
        for view, pick in stretch.picks.items():
            times = self._heard[view].times
            picks[view] = (np.cumsum((times >= begin) & (times < end)) - 1)[pick].astype(np.int32)
        return BagEpisode(
            self._bag.path, number, stretch.words, self._topics, picks, begin, end, stretch.start
        )  # fmt: skip

    def _lines(self, stretches: list[Stretch]) -> list[str]:
        zero = min(int(each.stamps.min()) for each in self._heard.values())

        def at(stamp: int) -> str:
            return f"{(stamp - zero) / _SECOND:.2f}"

        lines = [f"{self._bag.path}: {len(stretches)} episode(s)"]
        for view, topic in self._topics.items():
            stamps, count = self._heard[view].stamps, self._timeline.counts[view]
            steps = np.diff(stamps)
            rate = _SECOND / float(np.median(steps[steps > 0])) if (steps > 0).any() else 0.0
            told = [f"{len(stamps)} pictures", f"{rate:.3g} a second", f"gaps: {len(count.gaps)}"]
            if count.gaps:
                before, after = max(count.gaps, key=lambda gap: gap[1] - gap[0])
                told[-1] += f", the longest {(after - before) / _SECOND:.2f} s from {at(before)} s"
            if count.jumps:
                told.append(f"the clock went back {len(count.jumps)} times, first to {at(count.jumps[0])} s")
            if count.late:
                told.append(f"{count.late} came after a newer one and are left out")
            if count.repeated:
                told.append(f"{count.repeated} have the stamp of the one before and are left out")
            lines.append(f"  {view}: {topic} ({self._bag.topics[topic].type_name}): {'; '.join(told)}")
        others = [each for each in self._bag.topics.values() if each.name not in self._topics.values()]
        if others:
            lines.append(f"  other topics: {_listed(others)}")
        for number, stretch in enumerate(stretches):
            lines.append(
                f"  episode {number}: from {at(stretch.start)} s, {stretch.num_frames} frames, pictures at most "
                f"{stretch.oldest / _SECOND:.3f} s old: {stretch.words}"
            )
        return lines


class _Refused(ValueError):
    """A picture that would be refused of every message."""


def _look_at(picture, topic: str, path: Path) -> None:
    """Says early where a topic's pictures are none that can be used."""
    try:
        picture.rgb()
    except ValueError as error:
        raise _Refused(f"{path}: {topic}: {error}") from error


def max_age_of(options: SourceOptions) -> float:
    """Seconds."""
    given = options.bags.max_age
    return max(DEFAULT_MAX_AGE, 2 * options.dt) if given is None else given


def _what_is_not_whole(bag: Bag) -> list[str]:
    notes = []
    if bag.cut_off:
        notes.append(f"{', '.join(bag.cut_off)} is cut off, or still being written; what is whole of it is used")
    if bag.unfinished:
        notes.append(
            f"{', '.join(bag.unfinished)} has no index: it is being written, or its recorder was killed; what is there is used"
        )
    if bag.missing:
        notes.append(f"{', '.join(bag.missing)} is not there, of which metadata.yaml tells; the others are used")
    return notes


def _view_topics(bag: Bag, options: SourceOptions) -> dict[str, str]:
    """The topic of each view. Raises ValueError where there is none of that name, or it has no pictures."""
    topics: dict[str, str] = {}
    for view, camera in options.cameras.items():
        usual = [f"/{view}/{end}" for end in USUAL_ENDS]
        topic = _full(camera) if camera else next((name for name in usual if name in bag.topics), None)
        if topic is None:
            raise ValueError(
                f"{bag.path}: which topic is the view {view}? Give --view {view}=/TOPIC, and --view once for each view "
                f"there is to be; it has {_listed_pictures_first(bag)}"
            )
        _check_type(bag, topic, PICTURE_TYPES, f"--view {view}={topic}")
        if topic in topics.values():
            raise ValueError(f"--view {view}={topic}: that topic is another view already")
        topics[view] = topic
    return topics


def _instruction_topic(bag: Bag, options: SourceOptions) -> str | None:
    if options.bags.instruction_topic is None:
        named = (topic for topic in bag.topics.values() if topic.name.endswith(f"/{INSTRUCTION}"))
        return next((topic.name for topic in named if topic.type_name == STRING), None)
    topic = _full(options.bags.instruction_topic)
    _check_type(bag, topic, (STRING,), f"--instruction-topic {topic}")
    return topic


def _episodes_topic(bag: Bag, options: SourceOptions) -> str | None:
    if options.bags.episodes_topic is None:
        return None
    topic = _full(options.bags.episodes_topic)
    _check_type(bag, topic, None, f"--episodes-topic {topic}")
    return topic


def _full(name: str) -> str:
    return name if name.startswith("/") else f"/{name}"


def _check_type(bag: Bag, topic: str, wanted: tuple[str, ...] | None, option: str) -> None:
    known = bag.topics.get(topic)
    if known is None:
        raise ValueError(f"{option}: {bag.path} has no such topic; it has {_listed_pictures_first(bag)}")
    if wanted and known.type_name not in wanted:
        of_these = [each for each in bag.topics.values() if each.type_name in wanted]
        raise ValueError(
            f"{option}: in {bag.path} it is of type {known.type_name}, expected {' or '.join(wanted)}: "
            f"{_listed(of_these) if of_these else 'there is none'}"
        )


def _listed_pictures_first(bag: Bag) -> str:
    return _listed(sorted(bag.topics.values(), key=lambda topic: (topic.type_name not in PICTURE_TYPES, topic.name)))


def _listed(topics) -> str:
    named = [f"{topic.name} ({topic.type_name})" for topic in topics]
    more = f" and {len(named) - _NAMED_IN_AN_ERROR} more" if len(named) > _NAMED_IN_AN_ERROR else ""
    return (", ".join(named[:_NAMED_IN_AN_ERROR]) or "nothing") + more
