"""A few-step student learns its teacher's solutions, is stored as a checkpoint like any other, and resumes exactly."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from synthetic_shards import write_synthetic_data
from tiny_model import randomise
from tiny_runs import QUIET, run, same_state, state

from trajforecast_model import Forecaster
from trajforecast_model.checkpoint import build_denoiser, load_config, save_config, save_weights
from trajforecast_model.data.shards import DatasetInfo, ShardDataset
from trajforecast_model.files.config import from_dict, load
from trajforecast_model.flow.solvers import check_solver
from trajforecast_model.networks.denoiser import Denoiser
from trajforecast_model.training.batches import Batch, collate
from trajforecast_model.training.configs import StudentTrainConfig
from trajforecast_model.training.noise import WindowNoise
from trajforecast_model.training.stages.student import StudentStage

CONFIGS = Path(__file__).parents[4] / "config" / "train"


def student_config(teacher: Path, data: Path, out: Path, steps: int = 4, **changes) -> dict:
    return {
        "out": str(out),
        "teacher": str(teacher),
        "data": {"folder": str(data), "workers": 0},
        "optimisation": dict(steps=steps, batch_size=4, learning_rate=1e-3, warmup_steps=1, precision="float32"),
        "logging": dict(QUIET, checkpoint_every=2, validate_every=2),
        "draws_per_window": 2,
        "teacher_steps": 6,
        "teacher_solver": "ab2",
    } | changes


def stage_and_batch(config: dict) -> tuple[StudentStage, Batch]:
    dataset = ShardDataset(config["data"]["folder"], "train")
    return StudentStage(from_dict(StudentTrainConfig, config)), collate([dataset[i] for i in range(2)])


def loss_of(stage: StudentStage, batch: Batch) -> torch.Tensor:
    """Of the same noise each time."""
    noise = WindowNoise(0, 0, range(len(batch.instructions)), torch.device("cpu"))
    return stage.loss(stage.model, batch, noise, stage.mean_weight(batch))[0]


@pytest.fixture
def straight_teacher(tiny_checkpoint, tmp_path) -> Path:
    """A copy whose velocity is the same everywhere and always."""
    folder = tmp_path / "straight"
    folder.mkdir()
    for file in tiny_checkpoint.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    denoiser = build_denoiser(load_config(folder), folder)
    torch.nn.init.zeros_(denoiser.final_linear.weight)
    save_weights(denoiser, folder / "denoiser.safetensors")
    return folder


@pytest.mark.parametrize("method", ["endpoint", "reflow"])
def test_a_step_lowers_the_loss_as_its_gradient_foretells(method, tiny_checkpoint, data, tmp_path):
    stage, batch = stage_and_batch(student_config(tiny_checkpoint, data, tmp_path, method=method, sampling_steps=1))
    before = loss_of(stage, batch)
    before.backward()
    trained = [parameter for parameter in stage.model.parameters() if parameter.requires_grad]
    length = 0.05 * before.item() / sum((parameter.grad**2).sum() for parameter in trained)
    with torch.no_grad():
        for parameter in trained:
            parameter -= length * parameter.grad
        assert loss_of(stage, batch) / before == pytest.approx(0.95, abs=0.03)


@pytest.mark.parametrize("method", ["endpoint", "reflow"])
def test_a_straight_flow_leaves_a_one_step_student_nothing_to_learn(method, straight_teacher, data, tmp_path):
    config = student_config(straight_teacher, data, tmp_path, method=method, sampling_steps=1)
    assert loss_of(*stage_and_batch(config)).item() < 1e-10


def test_the_teacher_s_own_steps_leave_nothing_to_learn_and_fewer_do(tiny_checkpoint, data, tmp_path):
    config = student_config(tiny_checkpoint, data, tmp_path, sampling_steps=6, sampling_solver="ab2")
    assert loss_of(*stage_and_batch(config)).item() < 1e-10
    assert loss_of(*stage_and_batch(config | dict(sampling_steps=2))).item() > 1e-6


def test_a_student_resumes_exactly_and_forecasts_in_its_few_steps(tiny_checkpoint, data, tmp_path):
    assert run("student", student_config(tiny_checkpoint, data, tmp_path / "whole"), tmp_path) == 0
    assert run("student", student_config(tiny_checkpoint, data, tmp_path / "parts", steps=2), tmp_path) == 0
    assert run("student", student_config(tiny_checkpoint, data, tmp_path / "parts"), tmp_path) == 0
    assert same_state(state(tmp_path / "parts"), state(tmp_path / "whole"))

    student = Forecaster.from_pretrained(tmp_path / "whole" / "checkpoint")
    teacher = load_config(tiny_checkpoint)
    assert student.config == dataclasses.replace(teacher, steps=2, solver="euler")
    window = ShardDataset(data, "val")[0]
    assert student.predict({"side": window.image}, window.instruction, k=2).steps == 2
    for name in ("vae.safetensors", "image_encoder.safetensors"):
        assert (tmp_path / "whole" / "checkpoint" / name).read_bytes() == (tiny_checkpoint / name).read_bytes()


def test_a_student_may_go_on_from_another_of_the_same_teacher(
    tiny_checkpoint, straight_teacher, data, tmp_path, capsys
):
    config = student_config(tiny_checkpoint, data, tmp_path, start_from=str(straight_teacher))
    stage, _ = stage_and_batch(config)
    assert not stage.model.denoiser.final_linear.weight.any() and stage.teacher.final_linear.weight.any()

    values = json.loads((straight_teacher / "config.json").read_text())
    values["denoiser"]["depth"] = 3
    (straight_teacher / "config.json").write_text(json.dumps(values))
    assert run("student", config, tmp_path) == 2
    assert "is no student of this teacher" in capsys.readouterr().err


def test_without_a_vae_the_student_learns_tracks(tiny_checkpoint, data, tmp_path):
    config = load_config(tiny_checkpoint)
    on_tracks = dataclasses.replace(
        config.denoiser, num_frames=16, grid=(64, 64), channels=2, patch_size=16, track_encoding=True
    )
    config = dataclasses.replace(config, denoiser=on_tracks, vae=None, latent_std=(1.0, 1.0))
    teacher = tmp_path / "teacher"
    save_config(config, teacher)
    save_weights(randomise(Denoiser(on_tracks)), teacher / "denoiser.safetensors")
    (teacher / "image_encoder.safetensors").write_bytes((tiny_checkpoint / "image_encoder.safetensors").read_bytes())
    run_config = student_config(teacher, data, tmp_path / "run", steps=1, teacher_steps=2, draws_per_window=1)
    run_config["optimisation"]["batch_size"] = run_config["logging"]["validation_windows"] = 2
    assert run("student", run_config, tmp_path) == 0
    assert Forecaster.from_pretrained(tmp_path / "run" / "checkpoint").vae is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(teacher="nowhere"), "nowhere is not a checkpoint folder"),
        (dict(teacher_solver="rk4"), "solver: got 'rk4'"),
        (dict(sampling_solver="euler@cubic"), "time grid: got 'cubic'"),
        (dict(sampling_steps=0), "sampling_steps: got 0"),
        (dict(method="consistency"), "method"),
    ],
)
def test_what_cannot_be_distilled_is_refused_with_a_reason(changes, message, tiny_checkpoint, data, tmp_path, capsys):
    assert run("student", student_config(tiny_checkpoint, data, tmp_path / "run") | changes, tmp_path) == 2
    assert message in capsys.readouterr().err


def test_a_teacher_of_another_shape_than_the_data_is_refused(tiny_checkpoint, tmp_path, capsys):
    other = tmp_path / "other"
    write_synthetic_data(other, info=DatasetInfo(labeler="exact", stride=1, grid=(32, 32)))
    assert run("student", student_config(tiny_checkpoint, other, tmp_path / "run"), tmp_path) == 2
    assert "vae.grid is (64, 64), the data's is (32, 32)" in capsys.readouterr().err


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*student*.yaml")), ids=lambda path: path.stem)
def test_a_shipped_config_is_read_and_its_teacher_is_there(path):
    config = load(StudentTrainConfig, path)
    check_solver(config.teacher_solver)
    check_solver(config.sampling_solver)
    assert config.teacher_steps > config.sampling_steps
    assert load_config(CONFIGS.parents[1] / config.teacher).vae is not None


@pytest.mark.parametrize("changes", [dict(dt=0.1), dict(views=("side", "wrist"))])
def test_data_of_another_time_step_or_of_other_cameras_than_the_teachers_is_refused(
    changes, tiny_checkpoint, tmp_path, capsys
):
    other = tmp_path / "other"
    write_synthetic_data(other, info=DatasetInfo(labeler="exact", stride=1, **changes))
    assert run("student", student_config(tiny_checkpoint, other, tmp_path / "run"), tmp_path) == 2
    assert f"has {next(iter(changes))}" in capsys.readouterr().err
