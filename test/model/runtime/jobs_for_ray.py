"""Workers for the tests of jobs on Ray; they are imported by its processes."""

import os
import threading
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Writer:
    """Writes a file a job. On the node `stuck` it begins, says so, and never ends."""

    folder: Path
    stuck: str = ""

    def __call__(self, job: int) -> str:
        import ray

        if (node := ray.get_runtime_context().get_node_id()) == self.stuck:
            (self.folder / f"{job}.stuck").touch()
            threading.Event().wait()
        (self.folder / f"{job}.txt").write_text(f"job {job}")
        return node


class Refuser:
    def __call__(self, job: int) -> None:
        raise ValueError(f"job {job} is wrong")


class Dying:
    def __call__(self, job: int) -> None:
        os._exit(3)
