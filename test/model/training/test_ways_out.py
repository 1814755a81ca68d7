"""However a training ends, its processes end with it, its exit code is right, and a failing validation costs no step."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_runs import logged, run, same_state, state, steps_on_disk, vae_config, write_config
from torch.utils.data import get_worker_info

from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.training.loader_errors import loader_errors_explained
from trajforecast_model.training.run_folder import RunFolder
from trajforecast_model.training.stages.vae import VAEStage
from trajforecast_model.training.state import TrainingState

CUDA_ERROR = RuntimeError("CUDA error: an illegal memory access was encountered")


def with_a_loader(data: Path, out: Path, steps: int = 3) -> dict:
    config = vae_config(data, out, steps=steps)
    config["data"]["workers"] = 1
    return config


def fails_at_step(number: int, error):
    """In place of TrainingState.update."""
    ordinary = TrainingState.update

    def update(self, rate: float) -> None:
        if self.step == number:
            raise error
        ordinary(self, rate)

    return update


@pytest.mark.parametrize("error", [CUDA_ERROR, SystemExit(3)])
def test_no_loader_process_outlives_an_error(error, data, tmp_path, monkeypatch):
    monkeypatch.setattr(TrainingState, "update", fails_at_step(1, error))
    with pytest.raises(type(error)) as raised:
        run("vae", with_a_loader(data, tmp_path / "run"), tmp_path)
    assert raised.value is error and not multiprocessing.active_children()


@pytest.mark.parametrize(("error", "code"), [(MemoryError(), 2), (KeyboardInterrupt(), 130)])
def test_nor_one_that_is_explained(error, code, data, tmp_path, monkeypatch):
    monkeypatch.setattr(TrainingState, "update", fails_at_step(1, error))
    assert run("vae", with_a_loader(data, tmp_path / "run"), tmp_path) == code
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_the_step_and_is_the_exit_code(number, code, data, tmp_path, monkeypatch):
    ordinary = TrainingState.update

    def update(self, rate: float) -> None:
        ordinary(self, rate)
        os.kill(os.getpid(), number)

    monkeypatch.setattr(TrainingState, "update", update)
    assert run("vae", with_a_loader(data, tmp_path / "run"), tmp_path) == code
    assert steps_on_disk(tmp_path / "run") == [1] and not multiprocessing.active_children()


def test_a_program_with_a_bug_ends_with_its_traceback_and_code_1(data, tmp_path):
    script = Path(__file__).with_name("killed_run.py")
    config = write_config(with_a_loader(data, tmp_path / "run"), tmp_path)
    ended = subprocess.run(
        [sys.executable, script, "bug", "2", "train", "vae", "--config", config],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 1
    assert ended.stderr.strip().splitlines()[-1] == f"RuntimeError: {CUDA_ERROR}"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ValueError("row 3 is damaged"), 2, "error: row 3 is damaged\n"),
        (OSError(5, "Input/output error"), 2, "Input/output error\n"),
        (MemoryError("no room for a batch"), 2, "out of memory (no room for a batch)"),
        (
            RuntimeError("unable to write to file </torch_12_3_0>: No space left on device (28)"),
            2,
            "lower data.workers",
        ),
        (RuntimeError("a bug"), None, "a bug"),
    ],
)
def test_an_error_of_a_loader_process_is_told_as_that_process_would(
    error, code, message, data, tmp_path, monkeypatch, capsys
):
    ordinary = ShardDataset.__getitem__

    def getitem(self, index: int):
        if get_worker_info() is not None:
            raise error
        return ordinary(self, index)

    monkeypatch.setattr(ShardDataset, "__getitem__", getitem)
    config = with_a_loader(data, tmp_path / "run")
    if code is None:
        with pytest.raises(type(error), match=message):
            run("vae", config, tmp_path)
    else:
        assert run("vae", config, tmp_path) == code
        told = capsys.readouterr().err
        assert message in told and "Traceback" not in told
    assert not multiprocessing.active_children()


def test_a_loader_process_that_died_is_not_mistaken_for_one_that_raised():
    with pytest.raises(OSError, match="a loader process died"), loader_errors_explained():
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")


def often(data: Path, out: Path, steps: int = 6) -> dict:
    config = vae_config(data, out, steps=steps)
    config["logging"] |= dict(validate_every=3, checkpoint_every=4)
    return config


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory) -> Path:
    """A run in a go, checkpoints at 4 and 6, validations at 3 and 6."""
    folder = tmp_path_factory.mktemp("whole")
    assert run("vae", often(data, folder / "run"), folder) == 0
    return folder / "run"


@pytest.mark.parametrize("step", [3, 6])
def test_a_validation_that_fails_costs_no_step(step, data, whole, tmp_path, monkeypatch):
    """At 3 no checkpoint is due, at 6 one is: it is there before."""
    ordinary, calls = VAEStage.validate, []

    def validate(self, model, world, windows=None):
        calls.append(windows)
        if calls.count(None) == step / 3:
            raise CUDA_ERROR
        return ordinary(self, model, world, windows)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="CUDA error"):
        patch.setattr(VAEStage, "validate", validate)
        run("vae", often(data, tmp_path / "run"), tmp_path)
    assert steps_on_disk(tmp_path / "run")[-1] == step

    assert run("vae", often(data, tmp_path / "run"), tmp_path) == 0
    assert same_state(state(tmp_path / "run"), state(whole))
    for tag in ("train/loss", "val/moving_points_px2"):
        assert logged(tmp_path / "run", tag) == logged(whole, tag)
    assert (tmp_path / "run" / "checkpoint_best").readlink() == (whole / "checkpoint_best").readlink()


def test_a_finished_run_is_not_validated_again(data, whole, monkeypatch):
    monkeypatch.setattr(VAEStage, "validate", None)
    assert run("vae", often(data, whole), whole.parent) == 0


def test_a_validation_that_cannot_be_done_is_known_before_the_first_step(data, tmp_path, monkeypatch, capsys):
    def validate(self, model, world, windows=None):
        raise ValueError("this solver is for something else")

    monkeypatch.setattr(VAEStage, "validate", validate)
    monkeypatch.setattr(TrainingState, "update", None)
    assert run("vae", often(data, tmp_path / "run"), tmp_path) == 2
    assert "this solver is for something else" in capsys.readouterr().err


def test_a_checkpoint_that_cannot_be_written_ends_the_run_as_any_bug(data, tmp_path, monkeypatch):
    def save(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr(RunFolder, "save", save)
    with pytest.raises(RuntimeError, match="a bug"):
        run("vae", with_a_loader(data, tmp_path / "run"), tmp_path)
    assert not multiprocessing.active_children() and torch.is_grad_enabled()
