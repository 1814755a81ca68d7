"""Jobs on a Ray cluster of two nodes of this machine, one of which is killed: all are done, and as they are without Ray."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

# Read when Ray is imported. A busy machine may take longer than Ray waits for a node of its own accord.
os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_raylet_start_wait_time_s": "300",
    "RAY_worker_register_timeout_seconds": "300",
}

import pytest
from jobs_for_ray import Dying, Refuser, Writer

from trajforecast_model.cli import main
from trajforecast_model.runtime.ray_jobs import jobs_on_ray

pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
pytestmark = pytest.mark.slow

SIMULATE = ["simulate", "--suite", "blocks", "--episodes", "4", "--rollouts", "1"]


def wait_for(happened: Callable[[], object]) -> None:
    done = threading.Event()
    for _ in range(3000):
        if happened():
            return
        done.wait(0.1)
    raise TimeoutError("it did not happen within 300 s")


def node_settings() -> dict:
    """Of a small node, whose ports are chosen here: else it waits for processes that choose them, and for no more than 15 s."""
    names = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in names]
        ports = [listening.getsockname()[1] for listening in sockets]
    return dict(zip(names, ports, strict=True)) | {"num_cpus": 1, "object_store_memory": 80_000_000}


@pytest.fixture(scope="module")
def cluster() -> Iterator:
    """Of one node with one core; tests add another."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as environment:
        # Its processes are other programs than this one: they find the tests' workers here.
        environment.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        cluster = Cluster(initialize_head=True, head_node_args={"include_dashboard": False} | node_settings())
        yield cluster
        cluster.shutdown()


@pytest.fixture
def second_node(cluster) -> Iterator:
    node = cluster.add_node(**node_settings())
    yield node
    if node in cluster.list_all_nodes():
        cluster.remove_node(node, allow_graceful=False)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_jobs_of_a_node_that_is_killed_are_done_by_the_other_one(cluster, second_node, tmp_path):
    jobs = iter(range(6))
    worker = partial(Writer, tmp_path, stuck=second_node.node_id)
    done = {}
    with jobs_on_ray(cluster.address, tmp_path) as run:
        for job, node in run(worker, lambda _: next(jobs, None), 100):
            done[job] = node
            if len(done) == 1:
                wait_for(lambda: list(tmp_path.glob("*.stuck")))
                cluster.remove_node(second_node, allow_graceful=False)
    assert sorted(done) == list(range(6)) and second_node.node_id not in done.values()
    (stuck,) = tmp_path.glob("*.stuck")
    assert contents(tmp_path).keys() == {stuck.name} | {f"{job}.txt" for job in range(6)}


def test_errors_of_jobs_come_as_from_processes_and_a_deadly_job_is_given_up(cluster, tmp_path):
    with jobs_on_ray(cluster.address, tmp_path) as run:
        with pytest.raises(ValueError, match=r"^job 7 is wrong$"):
            list(run(Refuser, lambda _: 7, 1))
        with pytest.raises(OSError, match="3 workers in a row died"):
            list(run(Dying, lambda _: 1, 1))
    assert not contents(tmp_path)


def test_simulated_and_prepared_files_are_those_of_processes_though_a_node_is_killed(cluster, second_node, tmp_path):
    assert main([*SIMULATE, "--out", str(tmp_path / "alone"), "--workers", "1"]) == 0
    out = tmp_path / "on_ray"

    def kill_after_the_first_file() -> None:
        wait_for(lambda: list(out.glob("*.hdf5")))
        cluster.remove_node(second_node, allow_graceful=False)

    killer = threading.Thread(target=kill_after_the_first_file, daemon=True)
    killer.start()
    assert main([*SIMULATE, "--out", str(out), "--ray", cluster.address]) == 0
    killer.join()
    assert contents(out) == contents(tmp_path / "alone")

    shards = [tmp_path / "shards_alone", tmp_path / "shards_on_ray"]
    for folder, place in zip(shards, (["--workers", "1"], ["--ray", cluster.address]), strict=True):
        assert main(["prepare", str(out), "--out", str(folder), *place]) == 0
    assert contents(shards[0]) == contents(shards[1]) and len(contents(shards[0])) > 4


def test_ctrl_c_ends_the_jobs_and_the_same_command_goes_on(cluster, tmp_path):
    import ray

    command = [*SIMULATE, "--out", str(tmp_path), "--ray", cluster.address]
    program = subprocess.Popen(
        [sys.executable, "-m", "trajforecast_model.cli", *command], stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: list(tmp_path.glob("*.hdf5")) or program.poll() is not None)
    program.send_signal(signal.SIGINT)
    said = program.communicate()[1]
    assert program.returncode == 130 and said.endswith("trajforecast simulate: interrupted\n")
    assert len(list(tmp_path.glob("*.hdf5"))) < 4 and not list(tmp_path.glob(".seen*"))
    with jobs_on_ray(cluster.address, tmp_path):
        wait_for(lambda: ray.available_resources().get("CPU") == 1)
    assert main(command) == 0
    assert len(list(tmp_path.glob("*.hdf5"))) == 4


@pytest.mark.parametrize(
    "address, message",
    [
        ("127.0.0.1:1", "no Ray cluster answers at 127.0.0.1:1"),
        ("ray://head:10001", "expected auto, local, or HOST:PORT"),
    ],
)
def test_a_cluster_that_does_not_answer_is_named_in_one_line(address, message, tmp_path, capsys):
    assert main([*SIMULATE, "--out", str(tmp_path), "--ray", address]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and not contents(tmp_path)
