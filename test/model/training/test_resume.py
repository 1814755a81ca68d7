"""A run that is killed, or finds the disk full, goes on as if nothing had happened, bit for bit."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_runs import denoiser_config, logged, run, same_state, state, steps_on_disk, vae_config, write_config

from trajforecast_model.files.owner import owning
from trajforecast_model.networks.word_check import folder_of
from trajforecast_model.training.run_folder import RunFolder
from trajforecast_model.training.stages.vae import VAEStage, load_trained_vae

RANDOM_STEPS = np.random.default_rng(7).integers(1, 5, size=2)  # optimiser steps that a process lives for


def frequent(config: dict) -> dict:
    """Checkpoints every 2 of 12 steps, validation every 3, windows read by a process of their own."""
    config["data"]["workers"] = 1
    config["logging"] = dict(
        log_every=1, checkpoint_every=2, keep=2, validate_every=3, validation_windows=4, validation_samples=2
    )
    return config


def run_until_killed(stage: str, config: dict, folder: Path, moment: str, count: int) -> subprocess.CompletedProcess:
    script = Path(__file__).with_name("killed_run.py")
    return subprocess.run(
        [sys.executable, script, moment, str(count), "train", stage, "--config", write_config(config, folder)],
        capture_output=True,
        text=True,
    )


def assert_equal_runs(parts: Path, whole: Path) -> None:
    assert same_state(state(parts), state(whole))
    assert logged(parts) == logged(whole)
    assert (parts / "checkpoint").readlink() == (whole / "checkpoint").readlink()
    assert (parts / "checkpoint_best").readlink() == (whole / "checkpoint_best").readlink()
    for name in ("checkpoint", "checkpoint_best"):
        files = sorted(path.name for path in (whole / name).iterdir())
        assert files == sorted(path.name for path in (parts / name).iterdir())
        assert all((parts / name / file).read_bytes() == (whole / name / file).read_bytes() for file in files)
    assert not list(parts.rglob("*.tmp"))


@pytest.mark.slow
def test_a_run_killed_again_and_again_equals_one_in_a_go(data, tmp_path):
    def config(out: str) -> dict:
        return frequent(vae_config(data, tmp_path / out, steps=12))

    assert run("vae", config("whole"), tmp_path / "whole") == 0
    assert sorted(logged(tmp_path / "whole")) == list(range(1, 13))
    moments = [("step", int(count)) for count in RANDOM_STEPS]
    moments += [("write state", 1), ("write export", 2), ("link", 3), ("prune", 1), ("load", 20)]
    for moment, count in moments:
        killed = run_until_killed("vae", config("parts"), tmp_path / "parts", moment, count)
        assert killed.returncode == -signal.SIGKILL, f"{moment}: {killed.stderr}"
        assert load_trained_vae(tmp_path / "parts" / "checkpoint") if steps_on_disk(tmp_path / "parts") else True
    assert state(tmp_path / "parts")["step"] < 12
    assert run("vae", config("parts"), tmp_path / "parts") == 0
    assert_equal_runs(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.slow
def test_a_killed_denoiser_run_of_bfloat16_equals_one_in_a_go(data, barely_trained_vae, tmp_path):
    def config(out: str) -> dict:
        config = frequent(denoiser_config(data, tmp_path / out, barely_trained_vae))
        config["optimisation"] |= dict(precision="bfloat16")
        return config

    assert run("denoiser", config("whole"), tmp_path) == 0
    assert run_until_killed("denoiser", config("parts"), tmp_path, "step", 6).returncode == -signal.SIGKILL
    assert state(tmp_path / "parts")["step"] == 4
    assert run("denoiser", config("parts"), tmp_path) == 0
    assert_equal_runs(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.slow
def test_a_loader_process_that_is_killed_ends_the_run_with_a_reason(data, tmp_path):
    config = frequent(vae_config(data, tmp_path / "run"))
    killed = run_until_killed("vae", config, tmp_path, "loader", 40)
    assert killed.returncode == 2
    assert killed.stderr.strip().splitlines()[-1].startswith("trajforecast train: error: a loader process died")


def test_the_last_checkpoints_and_the_best_are_kept(data, tmp_path, monkeypatch):
    scores = iter([5.0, 2.0, 3.0, 2.0, 4.0])  # of steps 2, 4, 6, 8, 10
    monkeypatch.setattr(VAEStage, "score", lambda stage, figures: next(scores))
    config = vae_config(data, tmp_path / "run", steps=10)
    config["logging"] |= dict(checkpoint_every=2, keep=3, validate_every=2)
    assert run("vae", config, tmp_path) == 0
    assert steps_on_disk(tmp_path / "run") == [6, 8, 10]
    assert [path.name for path in (tmp_path / "run" / "checkpoints").glob("best_*")] == ["best_00000004"]
    assert (tmp_path / "run" / "checkpoint_best").readlink() == Path("checkpoints/best_00000004")
    assert state(tmp_path / "run")["best_score"] == 2.0
    assert load_trained_vae(tmp_path / "run" / "checkpoint_best")


def test_a_damaged_state_is_named_and_the_one_before_it_serves(data, tmp_path, capsys):
    config = vae_config(data, tmp_path / "run", steps=8)
    assert run("vae", config, tmp_path) == 0
    newest = tmp_path / "run" / "checkpoints" / "step_00000008"
    (newest / "state.pt").write_bytes((newest / "state.pt").read_bytes()[:1000])
    assert run("vae", config, tmp_path) == 2
    message = capsys.readouterr().err
    assert f"{newest / 'state.pt'} is damaged" in message and "continues from step_00000004" in message
    shutil.rmtree(newest)
    assert run("vae", config, tmp_path) == 0
    assert state(tmp_path / "run")["step"] == 8


def test_an_old_checkpoint_goes_only_when_the_new_one_is_whole(tmp_path):
    folder = RunFolder(tmp_path, keep=1)
    folder.save({"step": 1}, lambda path: path.mkdir())

    def fails(path: Path) -> None:
        path.mkdir()
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match=r"step_00000002 could not be written; .*step_00000001 is whole"):
        folder.save({"step": 2}, fails)
    assert steps_on_disk(tmp_path) == [1] and folder.load() == {"step": 1}
    assert not list(tmp_path.rglob("*.tmp"))
    folder.save({"step": 2}, lambda path: path.mkdir())
    assert steps_on_disk(tmp_path) == [2]


@pytest.mark.parametrize("said_by", ["the file", "torch.save"])
def test_a_state_that_cannot_be_written_names_the_checkpoint_that_is_whole(said_by, tmp_path, monkeypatch):
    folder = RunFolder(tmp_path, keep=1)
    folder.save({"step": 1}, lambda path: path.mkdir())
    state = {"step": 2, "model": torch.ones(500_000)}
    if said_by == "torch.save":

        def save(*_):
            raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")

        monkeypatch.setattr(torch, "save", save)
        with pytest.raises(OSError, match=r"the disk is full: .*step_00000002 could not be .*step_00000001 is whole"):
            folder.save(state, lambda path: path.mkdir())
    else:
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, most))
        try:
            with pytest.raises(OSError, match=r"could not be written \(file too large\); .*step_00000001 is whole"):
                folder.save(state, lambda path: path.mkdir())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert steps_on_disk(tmp_path) == [1] and not list(tmp_path.rglob("*.tmp"))


def test_a_run_that_will_not_fit_on_the_disk_does_not_begin(tmp_path):
    folder = RunFolder(tmp_path, keep=2)
    folder.save({"step": 1}, lambda path: path.mkdir())
    folder.check_room(state=10, export=10, checkpoints=5)
    with pytest.raises(OSError, match=r"the disk is full: .*\(logging.keep: 2\) takes .*step_00000001 is whole"):
        folder.check_room(state=2**60, export=10, checkpoints=5)
    with pytest.raises(OSError, match=r"the disk is full: .*step_00000002 takes .*step_00000001 is whole"):
        folder.save({"step": 2}, None)


def test_a_best_checkpoint_of_a_run_that_left_no_state_is_not_taken_for_another_runs(tmp_path):
    """It was killed before its first state, and the config may have changed since."""

    def export(content: str):
        return lambda path: path.mkdir(exist_ok=True) or (path / "weights").write_text(content)

    RunFolder(tmp_path, keep=1).save_best(500, export("of the first"))
    folder = RunFolder(tmp_path, keep=1)
    assert folder.load() is None
    folder.begin({})
    assert not (tmp_path / "checkpoint_best").is_symlink()
    folder.save_best(500, export("of the second"))
    assert (tmp_path / "checkpoint_best" / "weights").read_text() == "of the second"


def test_a_run_does_not_go_on_beside_another_vae(data, barely_trained_vae, tmp_path, capsys):
    vae = shutil.copytree(barely_trained_vae, tmp_path / "vae")
    assert run("denoiser", denoiser_config(data, tmp_path / "run", vae, steps=4), tmp_path) == 0
    weights = load_file(vae / "vae.safetensors")
    save_file({name: 1.5 * tensor for name, tensor in weights.items()}, vae / "vae.safetensors")
    assert run("denoiser", denoiser_config(data, tmp_path / "run", vae, steps=8), tmp_path) == 2
    assert "began with other weights of its VAE (digest of VAE was " in capsys.readouterr().err
    assert state(tmp_path / "run")["step"] == 4

    save_file(weights, vae / "vae.safetensors")
    linked, text = tmp_path / "linked", tmp_path / "minilm"
    linked.symlink_to(vae)  # where the same weights lie is no matter, nor how that is spelled
    text.symlink_to(folder_of("minilm"))
    elsewhere = denoiser_config(data, tmp_path / "run", linked, steps=5)
    elsewhere["text_encoder"] |= dict(source=str(text))
    assert run("denoiser", elsewhere, tmp_path) == 0
    assert state(tmp_path / "run")["step"] == 5


def test_a_run_of_another_config_is_refused_by_what_differs(data, tmp_path, capsys):
    config = vae_config(data, tmp_path / "run", steps=1)
    assert run("vae", config, tmp_path) == 0
    other = config | {"moving_weight": 2.0, "optimisation": config["optimisation"] | {"learning_rate": 1e-3}}
    capsys.readouterr()
    assert run("vae", other, tmp_path) == 2
    told = capsys.readouterr().err
    assert "optimisation.learning_rate was 0.002, is 0.001; moving_weight was 8.0, is 2.0" in told


def test_a_run_of_another_size_is_told_by_the_setting_and_not_as_an_older_version(data, tmp_path, capsys):
    config = vae_config(data, tmp_path / "run", steps=1)
    assert run("vae", config, tmp_path) == 0
    deeper = config | {"vae": config["vae"] | {"depth": config["vae"]["depth"] + 1}}
    assert run("vae", deeper, tmp_path) == 2
    assert "vae.depth was" in capsys.readouterr().err


def test_a_run_of_a_version_that_did_not_know_a_setting_goes_on_at_its_default(data, tmp_path, capsys):
    """As after an upgrade: the setting is not in the state, and the run went on as the default says."""
    config = vae_config(data, tmp_path / "run", steps=2)
    assert run("vae", config, tmp_path) == 0
    saved = state(tmp_path / "run")
    for setting in ("equal_windows", "optimisation.clip_norm"):
        del saved["settings"][setting]
    torch.save(saved, max((tmp_path / "run" / "checkpoints").glob("step_*")) / "state.pt")
    config["optimisation"]["steps"] = 3
    assert run("vae", config | {"equal_windows": True}, tmp_path) == 2
    assert "equal_windows was False, is True" in capsys.readouterr().err
    assert run("vae", config, tmp_path) == 0


def test_a_run_whose_networks_had_other_names_is_of_an_older_version(data, tmp_path, capsys):
    config = vae_config(data, tmp_path / "run", steps=2)
    assert run("vae", config, tmp_path) == 0
    saved = state(tmp_path / "run")
    saved["model"] = {f"vae.{name}": weight for name, weight in saved["model"].items()}
    torch.save(saved, max((tmp_path / "run" / "checkpoints").glob("step_*")) / "state.pt")
    config["optimisation"]["steps"] = 3
    assert run("vae", config, tmp_path) == 2
    assert "a run of an older version" in capsys.readouterr().err


def test_a_run_folder_has_one_owner_at_a_time(data, tmp_path, capsys):
    config = vae_config(data, tmp_path / "run", steps=1)
    with owning(tmp_path / "run"):
        assert run("vae", config, tmp_path) == 2
    assert f"{tmp_path / 'run'} is in use by process {os.getpid()} on " in capsys.readouterr().err
    assert run("vae", config, tmp_path) == 0


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 160 MB, where one can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", str(folder)], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_the_last_checkpoint_and_says_so(data, small_disk, tmp_path, capsys):
    def config(out: Path, steps: int) -> dict:
        config = vae_config(data, out, steps)
        config["logging"] |= dict(checkpoint_every=2, keep=2, validate_every=4)
        return config

    out = small_disk / "run"
    assert run("vae", config(out, 4), tmp_path) == 0
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space left"), open(filler, "wb", buffering=0) as file:
        while True:
            file.write(bytes(100_000))
    os.truncate(filler, filler.stat().st_size - 500_000)  # room for TensorBoard, not for a checkpoint
    capsys.readouterr()
    assert run("vae", config(out, 8), tmp_path) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert "the disk is full" in message and "step_00000004 is whole" in message
    assert steps_on_disk(out) == [2, 4]

    filler.unlink()
    assert run("vae", config(out, 8), tmp_path) == 0
    assert run("vae", config(tmp_path / "whole", 8), tmp_path) == 0
    assert same_state(state(out), state(tmp_path / "whole"))
