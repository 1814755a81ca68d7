"""Training by torchrun on two ranks (gloo): the same as one process, and it neither hangs nor loses a bit on resume."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_runs import denoiser_config, logged, run, same_state, state, steps_on_disk, vae_config, write_config

from trajforecast_model.training.run_folder import RunFolder

pytestmark = pytest.mark.slow

STEPS = 5


def torchrun(arguments: list[str], ranks: int = 2, restarts: int = 0) -> subprocess.CompletedProcess:
    options = ["--standalone", f"--nproc-per-node={ranks}", f"--max-restarts={restarts}"]
    command = [sys.executable, "-m", "torch.distributed.run", *options, *arguments]
    # PyTorch 2.5 and later: else ranks that are started again look for each other under the addresses of the first time.
    own_store = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"} if restarts else {}
    return subprocess.run(command, env=os.environ | own_store, capture_output=True, text=True)


def train_on_two_ranks(stage: str, config: dict, folder: Path) -> subprocess.CompletedProcess:
    path = write_config(config, folder)
    return torchrun(["-m", "trajforecast_model.cli", "train", stage, "--config", str(path)])


def make_uneven(config: dict, accumulate: int) -> dict:
    """Neither the 16 windows make whole batches, nor do the 3 of the validation divide among two ranks."""
    config["optimisation"] |= dict(batch_size=12, accumulate=accumulate)
    config["logging"] |= dict(checkpoint_every=1, keep=STEPS, validate_every=STEPS, validation_windows=3)
    return config | {"moving_weight": 8.0}


def gradients_of_first_step(out: Path) -> dict[int, torch.Tensor]:
    """AdamW's first moment after one step is the (clipped) gradient times 1 - beta1."""
    first = torch.load(out / "checkpoints" / "step_00000001" / "state.pt", weights_only=True)
    return {number: values["exp_avg"] for number, values in first["optimiser"]["state"].items()}


@pytest.mark.parametrize("stage", ["vae", "denoiser"])
def test_two_ranks_with_accumulation_equal_one_process_with_the_whole_batch(stage, data, barely_trained_vae, tmp_path):
    def config(out: Path, accumulate: int, steps: int = STEPS) -> dict:
        if stage == "vae":
            return make_uneven(vae_config(data, out, steps), accumulate)
        return make_uneven(denoiser_config(data, out, barely_trained_vae, steps), accumulate)

    one, two = tmp_path / "one", tmp_path / "two"
    assert run(stage, config(one, accumulate=1), tmp_path) == 0
    result = train_on_two_ranks(stage, config(two, accumulate=3), tmp_path)
    assert result.returncode == 0, result.stderr

    gradients = gradients_of_first_step(one)
    largest = max(gradient.abs().max() for gradient in gradients.values())
    for number, gradient in gradients_of_first_step(two).items():
        torch.testing.assert_close(gradient, gradients[number], rtol=1e-4, atol=1e-6 * largest.item())
    ours, theirs = state(two), state(one)
    assert ours["step"] == theirs["step"] == STEPS
    for part in ("model", "average"):
        for name, weight in theirs[part].items():
            torch.testing.assert_close(ours[part][name], weight, rtol=1e-3, atol=1e-5)
    for tag in ("train/loss", "val/nothing_moves_px2" if stage == "vae" else "val/side_nothing_moves_px2"):
        assert logged(two, tag) == pytest.approx(logged(one, tag), rel=1e-5)
    tag = "val/moving_points_px2" if stage == "vae" else "val/side_mean_t_px2"
    assert logged(two, tag) == pytest.approx(logged(one, tag), rel=1e-3)
    assert result.stdout.count("checkpoint: ") == 1 and "rank" not in result.stderr

    # One process goes on with what two ranks began.
    for out in (one, two):
        assert run(stage, config(out, accumulate=1, steps=STEPS + 1), tmp_path) == 0
    assert logged(two)[STEPS + 1] == pytest.approx(logged(one)[STEPS + 1], rel=1e-4)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory) -> Path:
    """A run of two ranks in a go."""
    folder = tmp_path_factory.mktemp("whole")
    result = train_on_two_ranks("vae", make_uneven(vae_config(data, folder / "run", STEPS), accumulate=2), folder)
    assert result.returncode == 0, result.stderr
    return folder / "run"


def test_a_rank_that_is_killed_or_stopped_ends_all_and_the_run_goes_on_bit_for_bit(data, whole, tmp_path):
    parts = make_uneven(vae_config(data, tmp_path / "parts", STEPS), accumulate=2)
    script = str(Path(__file__).with_name("killed_run.py"))
    arguments = ["train", "vae", "--config", str(write_config(parts, tmp_path))]
    killed = torchrun([script, "second rank", "3", *arguments])
    assert killed.returncode != 0 and "lost the other ranks" in killed.stderr
    assert steps_on_disk(tmp_path / "parts") == [1, 2]
    failed = torchrun([script, "bug of the second rank", "3", *arguments])  # in its first step, it went on from there
    assert failed.returncode != 0 and "RuntimeError: CUDA error" in failed.stderr
    assert "exitcode  : 1 " in failed.stderr and "lost the other ranks" in failed.stderr
    assert steps_on_disk(tmp_path / "parts") == [1, 2]
    stopped = torchrun([script, "second rank is asked to stop", "2", *arguments])
    assert stopped.returncode != 0 and stopped.stderr.count("trajforecast train: interrupted") == 2
    assert steps_on_disk(tmp_path / "parts") == [1, 2, 3, 4]
    result = train_on_two_ranks("vae", parts, tmp_path)
    assert result.returncode == 0, result.stderr
    assert same_state(state(tmp_path / "parts"), state(whole))
    assert logged(tmp_path / "parts") == logged(whole)


def test_torchrun_restarts_the_ranks_of_a_killed_one_and_the_run_goes_on_bit_for_bit(data, whole, tmp_path):
    config = write_config(make_uneven(vae_config(data, tmp_path / "run", STEPS), accumulate=2), tmp_path)
    script = str(Path(__file__).with_name("killed_run.py"))
    moment = str(2 + 2 * 2 + 2)  # the last micro-batch of step 3; the first two losses of a process are rehearsals
    result = torchrun([script, "second rank in its loss", moment, "train", "vae", "--config", str(config)], restarts=1)
    assert result.returncode == 0, result.stderr
    assert "trajforecast train: error: rank 0 lost the other ranks" in result.stderr
    assert result.stdout.count("checkpoint: ") == 1
    assert same_state(state(tmp_path / "run"), state(whole))
    assert logged(tmp_path / "run") == logged(whole)


def test_gradients_of_three_ranks_are_those_of_the_whole_batch_and_after_a_resume_the_same_bits():
    """The rest is in the script, which runs on each rank."""
    result = torchrun([str(Path(__file__).with_name("gradients_of_ranks.py"))], ranks=3)
    assert result.returncode == 0, result.stderr


def test_a_model_in_parts_trains_as_whole_ones_do_and_goes_on_from_its_state():
    """In the script, which runs on each rank: also what is refused."""
    result = torchrun([str(Path(__file__).with_name("model_in_parts.py"))])
    assert result.returncode == 0, result.stderr


def test_a_run_in_parts_whose_rank_is_killed_goes_on_and_equals_whole_ones(data, whole, tmp_path):
    def config(steps: int = STEPS) -> dict:
        config = make_uneven(vae_config(data, tmp_path / "run", steps), accumulate=2)
        config["optimisation"]["parallel"] = "fsdp"
        return config

    arguments = ["train", "vae", "--config", str(write_config(config(), tmp_path))]
    script = str(Path(__file__).with_name("killed_run.py"))
    result = torchrun([script, "second rank in its loss", str(2 * 2 + 2), *arguments], restarts=1)
    assert result.returncode == 0, result.stderr
    assert "trajforecast train: error: rank 0 lost the other ranks" in result.stderr
    assert "UserWarning" not in result.stderr
    assert logged(tmp_path / "run") == pytest.approx(logged(whole), rel=1e-5)
    tag = "val/moving_points_px2"
    assert logged(tmp_path / "run", tag) == pytest.approx(logged(whole, tag), rel=1e-4)
    ours, theirs = state(tmp_path / "run"), state(whole)
    for part in ("model", "average"):
        for name, weight in theirs[part].items():
            torch.testing.assert_close(ours[part][name], weight, rtol=1e-3, atol=1e-5)

    # One process goes on with what two ranks with a part each began; it has nobody to divide anything with.
    assert run("vae", config(steps=STEPS + 1), tmp_path) == 0
    assert state(tmp_path / "run")["step"] == STEPS + 1


def test_ranks_that_see_other_data_are_refused(data, tmp_path):
    script = tmp_path / "other_data.py"
    script.write_text(
        "import os, sys\n"
        "from trajforecast_model.cli import main\n"
        "from trajforecast_model.data.shards import ShardDataset\n"
        "if os.environ['RANK'] == '1':\n"
        "    ShardDataset.__len__ = lambda dataset: len(dataset._index) - 1\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    config = make_uneven(vae_config(data, tmp_path / "run", STEPS), accumulate=1)
    refused = torchrun([str(script), "train", "vae", "--config", str(write_config(config, tmp_path))])
    assert refused.returncode != 0 and "differs from the others in its data" in refused.stderr
    assert RunFolder(tmp_path / "run", keep=1).load() is None
