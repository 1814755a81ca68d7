"""tools/gpu_day.sh rehearsed on the CPU, as it runs on a GPU: every part at toy size, and what comes back of it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from gpu_day import bench, checkpoint_parts, goals, machine, scale, train  # noqa: E402

from trajforecast_model import Forecaster  # noqa: E402
from trajforecast_model.checkpoint import SHIPPED, load_config  # noqa: E402
from trajforecast_model.files.config import load  # noqa: E402
from trajforecast_model.networks.denoiser import Denoiser, DenoiserConfig  # noqa: E402
from trajforecast_model.networks.image_encoder import build_image_encoder  # noqa: E402
from trajforecast_model.networks.track_vae import TrackVAE  # noqa: E402
from trajforecast_model.training.configs import DenoiserTrainConfig  # noqa: E402

MOST_FILES, MOST_BYTES = 8, 16 * 2**20  # that come back of a lent machine, and of each


def gpu_day(*arguments: str, **environment: str | Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [ROOT / "tools" / "gpu_day.sh", *arguments],
        env=os.environ | {"PYTHON": sys.executable} | {name: str(value) for name, value in environment.items()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_the_rehearsal_of_everything(tmp_path):
    out, work = tmp_path / "out", tmp_path / "work"
    done = gpu_day("--rehearse", "all", "--seconds", "5", OUT=out, WORK=work)
    assert done.returncode == 0, done.stdout
    assert (out / "log.txt").read_text() == done.stdout
    assert all(f"== {part}: " in done.stdout for part in ("tests", "bench", "train", "all"))
    assert " passed" in done.stdout and "SKIPPED" in done.stdout and "no package is missing" in done.stdout

    files = list(out.rglob("*"))
    assert len(files) <= MOST_FILES and all(file.stat().st_size <= MOST_BYTES for file in files)
    benches = json.loads((out / "bench.json").read_text())
    assert (
        benches["reports"].keys() == {"sizes", "official", "training", "shipped", "trajloom"} and not benches["failed"]
    )
    assert benches["profiles"].keys() == {"forecast", "training"}  # networks without arithmetic are not to be beaten
    assert all("aten::addmm" in profile for profile in benches["profiles"].values())
    figures = json.loads((out / "train.json").read_text())
    assert figures["step"] > scale.TOY.calibration_steps - 1 and figures["parts_missing"] == []
    assert figures["evaluation"]["views"].keys() == {"side", "effector"}

    again = gpu_day("--rehearse", "train", "--seconds", "1", OUT=out, WORK=work)
    assert again.returncode == 0, again.stdout
    assert json.loads((out / "train.json").read_text())["step"] > figures["step"]

    checkpoint_parts.join(out, tmp_path / "checkpoint")
    config = load_config(tmp_path / "checkpoint")
    assert (config.text_encoder.kind, config.text_encoder.source) == ("bert", "minilm")
    Forecaster.from_pretrained(tmp_path / "checkpoint")


@pytest.mark.parametrize(
    "arguments", [["everything"], ["tests", "bench"], ["--seconds"], ["train", "--seconds", "soon"]]
)
def test_other_arguments_are_refused(arguments, tmp_path):
    done = gpu_day(*arguments, OUT=tmp_path / "out", WORK=tmp_path / "work")
    assert done.returncode == 2 and done.stdout.startswith("usage: tools/gpu_day.sh")
    assert not list(tmp_path.iterdir())


def test_what_is_missing_is_said_before_all_else(monkeypatch, capsys):
    monkeypatch.setattr(machine, "PACKAGES", {"sys": "sys", "nothing_of_this_name": "its-package"})
    monkeypatch.setattr(sys, "argv", ["machine"])
    assert machine.main() == 2
    printed = capsys.readouterr().out
    assert printed.startswith("missing Python packages: its-package.") and "pip download" in printed


def test_without_a_gpu_only_a_rehearsal_goes_on(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for arguments, code in ((["machine"], 2), (["machine", "--rehearse"], 0)):
        monkeypatch.setattr(sys, "argv", arguments)
        assert machine.main() == code
        assert ("sees no GPU" in capsys.readouterr().out) == (code == 2)


def test_the_packages_asked_for_are_those_that_are_installed_for_training():
    assert machine.missing_packages() == []


def sizes(p50: float, p99: float, rate: float) -> dict:
    rows = [
        {"size": "B", "evaluations": evaluations, "p50": p50, "p99": p99, "forecasts_per_second": rate}
        for evaluations in (9, 1)
    ]
    return {"rows": rows}


def test_goals_take_the_best_of_what_was_measured():
    ratio = {"official_over_ours": {"median": 3.9}}
    judged = goals.judge({"sizes": sizes(0.12, 0.13, 30), "sizes graphs": sizes(0.014, 0.021, 61), "official": ratio})
    verdicts = {goal.name: (goal.is_met, goal.by) for goal in judged}
    assert verdicts["B, 9 evaluations, p50 ms"] == (True, "sizes graphs")
    assert verdicts["B student, 1 evaluation, p99 ms"] == (False, "sizes graphs")
    assert verdicts["B student, 1 evaluation, forecasts/s"] == (True, "sizes graphs")
    assert verdicts["B student, 2 evaluations, p50 ms"] == (None, "")
    assert verdicts["official forecast's time / ours"] == (False, "median of pairs")
    assert verdicts["official training step's time / ours"][0] is None
    table = goals.table(judged)
    assert "| at most 20 | 21.0 (sizes graphs) | MISSED |" in table and "| - | not measured |" in table


def test_the_training_goal_is_judged_by_the_faster_of_our_steps():
    plain = {"official_over_ours": {"median": 1.9}, "official_over_graphs": None}
    recorded = {"official_over_ours": {"median": 1.8}, "official_over_graphs": {"median": 2.4}}
    for reports, verdict in (
        ({"training": plain}, (False, "median of pairs")),
        ({"training": plain, "training graphs": recorded}, (True, "median of pairs, CUDA graphs")),
    ):
        goal = goals.judge(reports)[-1]
        assert goal.name == "official training step's time / ours" and (goal.is_met, goal.by) == verdict


def test_a_step_that_fails_leaves_the_others_their_figures(tmp_path, monkeypatch):
    def steps(*_):
        yield "sizes", lambda: sizes(0.01, 0.01, 100)
        yield "official", lambda: (_ for _ in ()).throw(torch.cuda.OutOfMemoryError("no room"))
        yield "training", lambda: {"official_over_ours": {"median": 2.5}}

    monkeypatch.setattr(bench, "_telling_steps", steps)
    monkeypatch.setattr(bench, "_later_steps", lambda _: iter(()))
    assert bench.bench(scale.TOY, None, tmp_path) == 1
    written = json.loads((tmp_path / "bench.json").read_text())
    assert written["reports"].keys() == {"sizes", "training"} and "no room" in written["failed"]["official"]


@pytest.fixture
def parts(tiny_checkpoint, tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(checkpoint_parts, "PART_SIZE", 400_000)
    run = tmp_path / "run"
    shutil.copytree(tiny_checkpoint, run / "export")
    assert len(checkpoint_parts.split(run / "export", tmp_path / "parts")) > 2
    return tmp_path / "parts"


def test_a_checkpoint_comes_back_whole(parts, tiny_checkpoint, tmp_path):
    checkpoint_parts.join(parts, tmp_path / "joined")
    for file in tiny_checkpoint.iterdir():
        if file.suffix == ".safetensors":
            assert (tmp_path / "joined" / file.name).read_bytes() == file.read_bytes()
    assert load_config(tmp_path / "joined") == load_config(tiny_checkpoint)


def test_parts_that_do_not_belong_together_are_refused(parts, tmp_path):
    with pytest.raises(ValueError, match=r"has no checkpoint\.json"):
        checkpoint_parts.join(tmp_path, tmp_path / "joined")
    second = parts / "checkpoint.part2"
    whole = second.read_bytes()
    second.write_bytes(whole[:-1] + b"!")
    with pytest.raises(ValueError, match=r"checkpoint\.part2 is not the part"):
        checkpoint_parts.join(parts, tmp_path / "joined")
    second.unlink()
    with pytest.raises(ValueError, match=r"checkpoint\.part2 is missing"):
        checkpoint_parts.join(parts, tmp_path / "joined")
    assert not (tmp_path / "joined").exists()


def test_the_model_of_the_day_comes_back_in_one_call():
    config = load(DenoiserTrainConfig, ROOT / "config/train/libero_object_gpu.yaml")
    shipped = load_config(SHIPPED / "libero_object_tiny")  # its VAE makes the latents
    image = dict(image_grid=config.image_encoder.grid, image_dim=config.image_encoder.dim)
    sizes = {name: value for name, value in vars(config.denoiser).items() if name != "track_encoding"}
    with torch.device("meta"):
        networks = [
            Denoiser(DenoiserConfig(**vars(shipped.denoiser) | sizes | image)),
            build_image_encoder(config.image_encoder),
            TrackVAE(shipped.vae),
        ]
    assert config.stored_dtype == "float16"
    assert 2 * sum(parameter.numel() for network in networks for parameter in network.parameters()) < train.MOST_BYTES
    assert (
        config.optimisation.warmup_steps >= scale.FULL.calibration_steps
    )  # else the measured steps would lower the rate
