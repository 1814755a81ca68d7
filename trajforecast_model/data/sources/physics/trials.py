"""What the data sets of this room have in common: a folder is a task, what lies in it are its demos, and nobody is told."""

from dataclasses import dataclass
from pathlib import Path

from trajforecast_model.data.sources.interface import NobodyIsTold
from trajforecast_model.data.sources.names import natural


@dataclass(frozen=True, kw_only=True)
class Trials(NobodyIsTold):
    """A kind adds how its demos are found and read."""

    place: Path
    image_size: tuple[int, int]
    spoken: str
    only: tuple[str, ...] = ()  # demos, none for all
    orientation: str = "upright"
    replayable: bool = False
    called: str = "trials"  # what people call the demos

    @property
    def task(self) -> str:
        return self.place.name

    def names(self) -> list[str]:
        if self.only:
            return list(self.only)
        found = self._found()
        if not found:
            raise ValueError(f"{self.place} has no {self.called} any more")
        return sorted(found, key=natural)

    def instruction(self, name: str) -> str:
        return self.spoken

    def _found(self) -> set[str]:
        """The names of the demos that lie at the place."""
        raise NotImplementedError
