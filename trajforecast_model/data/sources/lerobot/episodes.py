"""The episodes of a LeRobot dataset by what the robot is told in them. An episode in which it is told one thing after
another is parted where the words change."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trajforecast_model.data.sources.lerobot.metadata import tasks_by_index, tasks_of


@dataclass(frozen=True)
class Episode:
    """An episode, or the part of one in which the words are the same.

    row: what the dataset's list of episodes says of it. part: its frames, first and end, None for all of them.
    """

    row: dict
    instruction: str
    part: tuple[int, int] | None = None

    @property
    def number(self) -> int:
        return int(self.row["episode_index"])

    @property
    def listed_length(self) -> int:
        return int(self.row["length"])

    @property
    def name(self) -> str:
        whole = f"episode_{self.number:06d}"
        return whole if self.part is None else f"{whole}_from_{self.part[0]:06d}"


class Words:
    """Reads what the robot is told, from the list of episodes or, where that does not tell, from the frames."""

    def __init__(self, place: Path):
        self._place = place
        self._by_index = tasks_by_index(place)

    def parts_of(self, row: dict, task_indices) -> list[Episode]:
        """An episode parted by its words.

        Args:
            task_indices: called for the task_index of each frame, int [N], None where there is none.

        Raises:
            ValueError: where the list of episodes has several instructions or none, and the frames do not tell.
        """
        listed = tasks_of(row)
        if len(listed) == 1:
            return [Episode(row, listed[0])]
        numbers = task_indices() if self._by_index else None
        if not listed and numbers is None:
            return [Episode(row, "")]
        where = f"{self._place}: episode_{int(row['episode_index']):06d}"
        if numbers is None:
            raise ValueError(
                f"{where} has {len(listed)} instructions ({', '.join(map(repr, listed))}), and nothing says which frames "
                "are of which: its frames need task_index, and meta/ the list of tasks"
            )
        unknown = sorted(set(numbers.tolist()) - self._by_index.keys())
        if unknown:
            raise ValueError(f"{where}: its frames have task_index {unknown[0]}, which meta/ has no words for")
        told = [self._by_index[number].strip() for number in numbers.tolist()]
        if set(listed) - set(told):
            raise ValueError(
                f"{where} has {len(listed)} instructions ({', '.join(map(repr, listed))}), of its frames' task_index are "
                f"{', '.join(map(repr, dict.fromkeys(told)))} alone; correct meta/, or its frames"
            )
        starts = [0, *(number for number in range(1, len(told)) if told[number] != told[number - 1])]
        if len(starts) == 1:
            return [Episode(row, told[0])]
        return [
            Episode(row, told[first], (first, end)) for first, end in zip(starts, [*starts[1:], len(told)], strict=True)
        ]

    def contradicts(self, episode: Episode, numbers: np.ndarray | None) -> str | None:
        """What the frames' task_index says against the words of an episode; None if nothing."""
        if numbers is None or not self._by_index:
            return None
        told = list(dict.fromkeys(self._by_index.get(number, "").strip() for number in numbers.tolist()))
        if told == [episode.instruction]:
            return None
        return f"its frames' task_index says {', '.join(map(repr, told))}, the list of episodes {episode.instruction!r}"
