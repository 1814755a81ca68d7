"""Demos in rosbag2 bags, as robots record them: `ros2 bag record`, record_node."""

import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from trajforecast_model.bags.bag import Bag
from trajforecast_model.bags.places import KIND
from trajforecast_model.data.demo import Demo
from trajforecast_model.data.sources.bags.episodes import BagEpisode, SilentBag, look_into
from trajforecast_model.data.sources.bags.pictures import PictureStream
from trajforecast_model.data.sources.interface import Outline, SourceOptions, digest_of
from trajforecast_model.data.sources.names import natural, task_named_after
from trajforecast_model.data.sources.orientation import GIVEN, upright
from trajforecast_model.images import resize_image

STAMPS = ("header", "receive")


@dataclass(frozen=True, eq=False)
class BagTask:
    """The episodes with one instruction, whichever bags they are in; or what is wrong with a bag.

    lines: what is in its bags, for people.
    """

    place: Path
    task: str
    orientation: str
    because: str
    fps: float
    image_size: tuple[int, int]
    episodes: dict[str, BagEpisode] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    problem: str = ""
    kind: str = KIND
    replayable: bool = False

    def names(self) -> list[str]:
        if self.problem:
            raise ValueError(self.problem)
        return sorted(self.episodes, key=natural)

    def instruction(self, name: str) -> str:
        return self.episodes[name].words

    def outline(self, name: str) -> Outline:
        return Outline(self.episodes[name].num_frames, self.fps)

    def read(self, name: str) -> Demo:
        episode = self.episodes[name]
        return Demo(
            task=self.task,
            name=name,
            instruction=episode.words,
            num_frames=episode.num_frames,
            fps=self.fps,
            images=self._images(episode, dict.fromkeys(episode.topics, range(episode.num_frames))),
        )

    def pictures(self, name: str, frames: Sequence[int], view: str) -> dict[int, np.ndarray]:
        """By frame: upright, of the size that shards have. Raises ValueError where one cannot be decoded."""
        return self._images(self.episodes[name], {view: frames})[view]

    def _images(self, episode: BagEpisode, frames: dict[str, Sequence[int]]) -> dict[str, dict[int, np.ndarray]]:
        topics = {view: episode.topics[view] for view in frames}
        wanted: dict[str, dict[int, list[int]]] = {topic: {} for topic in topics.values()}
        for view, topic in topics.items():
            for frame in frames[view]:
                wanted[topic].setdefault(int(episode.picks[view][frame]), []).append(frame)
        shown: dict[str, dict[int, np.ndarray]] = {topic: {} for topic in wanted}
        streams = {topic: PictureStream() for topic in wanted}
        numbers = dict.fromkeys(wanted, 0)
        waiting = sum(map(len, wanted.values()))
        with Bag(episode.bag) as bag:
            for message in bag.as_written(wanted, episode.start, episode.stop):
                for picture in streams[message.topic].pictures(message):
                    chosen = wanted[message.topic].get(numbers[message.topic], ())
                    numbers[message.topic] += 1
                    if chosen:
                        image = self._shown(picture, f"{episode.bag}: {message.topic}")
                        shown[message.topic] |= dict.fromkeys(chosen, image)
                        waiting -= 1
                if not waiting:
                    break
        return {view: dict(sorted(shown[topic].items())) for view, topic in topics.items()}

    def fingerprint(self, name: str) -> str:
        """From when it was recorded, and which pictures are used."""
        episode = self.episodes[name]
        return digest_of(episode.begins, *episode.topics.values(), *(pick.tobytes() for pick in episode.picks.values()))

    def _shown(self, picture, where: str) -> np.ndarray:
        try:
            rgb = picture.rgb()
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        return upright(resize_image(rgb, self.image_size), self.orientation)


def bag_tasks(bags: list[Path], options: SourceOptions) -> list[BagTask]:
    """The tasks in the bags, one for each instruction, and one for each bag that cannot be used.

    Raises:
        ValueError: for an option that is none, or where in a bag the robot is told nothing.
    """
    _check_options(options)
    orientation, because = (
        (options.orientation, GIVEN) if options.orientation else ("upright", "as cameras give them")
    )  # fmt: skip
    settings = {
        "orientation": orientation, "because": because, "fps": 1 / options.dt, "image_size": options.image_size,
    }  # fmt: skip
    place = bags[0] if len(bags) == 1 else Path(os.path.commonpath(bags))
    tasks: list[BagTask] = []
    by_words: dict[str, dict[str, BagEpisode]] = {}
    lines: dict[str, list[str]] = {}
    for bag in bags:
        try:
            content = look_into(bag, options)
        except SilentBag:
            raise
        except ValueError as error:
            tasks.append(BagTask(bag, str(bag), **settings, problem=str(error)))
            continue
        for note in content.notes:
            print(note, file=sys.stderr)
        for episode in content.episodes:
            task = task_named_after(episode.words)
            by_words.setdefault(task, {})[_name(bag, place, episode.number)] = episode
            lines.setdefault(task, []).extend(line for line in content.lines if line not in lines.get(task, ()))
    found = [
        BagTask(place, task, **settings, episodes=each, lines=tuple(lines[task])) for task, each in by_words.items()
    ]
    return found + tasks


def _name(bag: Path, place: Path, number: int) -> str:
    return str(number) if bag == place else f"{bag.relative_to(place)}/{number}"


def _check_options(options: SourceOptions) -> None:
    """Raises ValueError for one that bags cannot have."""
    bags = options.bags
    if bags.stamps not in STAMPS:
        raise ValueError(f"--stamps {bags.stamps}: expected one of {', '.join(STAMPS)}")
    if bags.max_age is not None and not 0 < bags.max_age < math.inf:
        raise ValueError(f"--max-age {bags.max_age}: expected seconds, above 0")
    if options.fps is not None:
        raise ValueError(f"--fps {options.fps:g}: a bag has a time for each picture and is read by those; leave it out")
