"""Jobs on the nodes of a Ray cluster, by the interface of processes.py: what writes files there writes them here as well.

Each job is done by an actor, which keeps its worker for the next one. The jobs of a node that is lost are done by others.
"""

import os
import re
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from trajforecast_model.runtime.processes import RunJobs

LOCAL = "local"  # as an address: a cluster of this machine alone, for this program
AUTO = "auto"  # the one of RAY_ADDRESS, or that which runs on this machine
MAX_TRIES = 3  # of a job whose worker dies
_PATIENCE = 10.0  # seconds until a cluster has to answer


@contextmanager
def jobs_on_ray(address: str, out: Path, gpu: bool = False) -> Iterator[RunJobs]:
    """Joins a cluster; what it gives runs jobs there, until it is left.

    Args:
        address: LOCAL, AUTO or the host:port of a running cluster. None is started but by LOCAL.
        out: a folder that has to be the same on every node. Other paths of jobs may be relative to the present folder.
        gpu: a worker needs a GPU to itself; else a core.

    Raises:
        ModuleNotFoundError: where Ray is not installed.
        ValueError: for another address.
        ConnectionError: where no cluster answers.
    """
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    _join(ray, address)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=out, prefix=".seen_by_all_nodes.", suffix=".tmp") as mark:
            yield partial(_run, ray, _Place(os.getcwd(), mark.name), gpu)
    finally:
        ray.shutdown()
        with suppress(OSError):  # where nothing was written
            out.rmdir()


class _Place:
    """Where jobs find their files: checked on each node."""

    def __init__(self, folder: str, mark: str):
        self._folder, self._mark = folder, mark

    def enter(self) -> None:
        """Raises OSError on a node that sees other files."""
        with suppress(OSError):
            os.chdir(self._folder)
        if os.getcwd() != self._folder or not Path(self._mark).exists():
            raise OSError(
                f"node {socket.gethostname()} does not see {Path(self._mark).parent} or {self._folder} as this machine does: "
                "on a cluster, both have to be on a disk that all nodes share"
            )


class _Actor:
    def __init__(self, make_worker: Callable[[], Callable[[Any], Any]], place: _Place):
        self._make_worker, self._place, self._worker = make_worker, place, None

    def do(self, job: Any) -> Any:
        """What the worker returns, or its ValueError or OSError: raised, Ray would wrap them in a traceback."""
        try:
            if self._worker is None:
                self._place.enter()
                self._worker = self._make_worker()
            return self._worker(job)
        except (ValueError, OSError) as error:
            return error


def _run(
    ray: Any,
    place: _Place,
    gpu: bool,
    make_worker: Callable[[], Callable[[Any], Any]],
    next_job: Callable[[Any], Any],
    processes: int,
) -> Iterator[tuple[Any, Any]]:
    """As processes.run_in_processes, on at most as many workers as the cluster has room for."""
    resource = "GPU" if gpu else "CPU"
    room = int(ray.cluster_resources().get(resource, 0))
    if room < 1:
        raise OSError(f"the Ray cluster has no {resource}, which a worker needs; add a node that has one")
    actor_class = ray.remote(num_cpus=0 if gpu else 1, num_gpus=1 if gpu else 0)(_Actor)
    lost: list[Any] = []  # jobs to be done again
    tries: dict[int, int] = {}  # by the job's id: a lost job is the same object
    busy: dict[Any, tuple[Any, Any]] = {}  # actor and job, by the reference of the result
    actors: list[Any] = []

    def give(actor: Any, previous: Any) -> bool:
        """Whether there was a job to give. Without an actor, a new one gets it as soon as there is room for it."""
        job = lost.pop() if lost else next_job(previous)
        if job is None:
            return False
        if actor is None:
            actors.append(actor := actor_class.remote(make_worker, place))
        busy[actor.do.remote(job)] = actor, job
        return True

    try:
        while True:
            while len(busy) < min(processes, room) and give(None, None):
                pass
            if not busy:
                return
            (done, *_), _ = ray.wait(list(busy))
            actor, job = busy.pop(done)
            try:
                result = ray.get(done)
            except ray.exceptions.RayActorError as error:
                if missing := re.search("No module named .*", str(error)):
                    raise OSError(
                        f"a node of the cluster lacks what a worker needs ({missing.group()}); install trajforecast there as here"
                    ) from error
                tries[id(job)] = tries.get(id(job), 0) + 1
                if tries[id(job)] == MAX_TRIES:
                    raise OSError(
                        f"{MAX_TRIES} workers in a row died of a job ({str(error).splitlines()[0]}); if memory was short, use "
                        "fewer --workers. The same command continues where this one stopped"
                    ) from error
                lost.append(job)
                actors.remove(actor)
                continue
            if isinstance(result, Exception):
                raise result
            tries.pop(id(job), None)
            yield job, result
            if not give(actor, job):
                ray.kill(actor)  # its room may be what another one waits for
                actors.remove(actor)
    finally:
        for actor in actors:
            ray.kill(actor)


def _join(ray: Any, address: str) -> None:
    settings = dict(log_to_driver=False, logging_level="ERROR", configure_logging=False)
    if address == LOCAL:
        ray.init(LOCAL, include_dashboard=False, **settings)
        return
    asked = os.environ.get("RAY_ADDRESS", AUTO) if address == AUTO else address
    if asked != AUTO:
        _check_answers(asked)
    try:
        ray.init(asked, **settings)
    except (ConnectionError, RuntimeError) as error:
        where = "on this machine" if asked == AUTO else f"at {asked}"
        raise ConnectionError(
            f"no Ray cluster answers {where} ({str(error).splitlines()[0]}); start one with `ray start --head`, name another "
            "as --ray HOST:PORT, or use this machine alone with --ray local or without --ray"
        ) from error


def _check_answers(address: str) -> None:
    """Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in address:
        raise ValueError(f"--ray {address}: expected {AUTO}, {LOCAL}, or HOST:PORT of the cluster's head node")
    try:
        with closing(socket.create_connection((host, int(port)), _PATIENCE)):
            pass
    except OSError as error:
        raise ConnectionError(
            f"no Ray cluster answers at {address} ({error}); start one with `ray start --head`, or name another as --ray "
            "HOST:PORT"
        ) from error
