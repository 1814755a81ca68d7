"""`trajforecast train`: reads the YAML, builds the stage, runs the loop."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trajforecast_model.files.config import load, to_dict
from trajforecast_model.training.configs import (
    ATMTrainConfig,
    DenoiserTrainConfig,
    PolicyTrainConfig,
    RunConfig,
    StudentTrainConfig,
    Track2ActTrainConfig,
    VAETrainConfig,
    VisibilityTrainConfig,
)
from trajforecast_model.training.distributed import join_world
from trajforecast_model.training.loop import run_training
from trajforecast_model.training.policy.stage import PolicyStage
from trajforecast_model.training.stages.atm import ATMStage
from trajforecast_model.training.stages.denoiser import DenoiserStage
from trajforecast_model.training.stages.student import StudentStage
from trajforecast_model.training.stages.track2act import Track2ActStage
from trajforecast_model.training.stages.vae import VAEStage
from trajforecast_model.training.stages.visibility import VisibilityStage
from trajforecast_model.training.trajloom.configs import (
    TrajloomTrainConfig,
    TrajloomVAETrainConfig,
    TrajloomVisibilityTrainConfig,
)
from trajforecast_model.training.trajloom.generator_stage import TrajloomStage
from trajforecast_model.training.trajloom.vae_stage import TrajloomVAEStage
from trajforecast_model.training.trajloom.visibility_stage import TrajloomVisibilityStage

# On resume a run may log and store in another way, read more data, split its batches otherwise and go on for longer, but
# not change its task. Places say nothing: what lies there is compared by its weights (TrainingState).
_FREE = {
    *("out", "stored_dtype", "optimisation.steps", "optimisation.accumulate", "optimisation.compile"),
    *("optimisation.parallel", "optimisation.compress_gradients"),
    *("vae", "start_from", "teacher", "forecaster", "image_encoder.source", "text_encoder.source"),
}
_STAGES = {
    "vae": (VAETrainConfig, VAEStage),
    "denoiser": (DenoiserTrainConfig, DenoiserStage),
    "student": (StudentTrainConfig, StudentStage),
    "visibility": (VisibilityTrainConfig, VisibilityStage),
    "policy": (PolicyTrainConfig, PolicyStage),
    "atm": (ATMTrainConfig, ATMStage),
    "track2act": (Track2ActTrainConfig, Track2ActStage),
    "trajloom_vae": (TrajloomVAETrainConfig, TrajloomVAEStage),
    "trajloom": (TrajloomTrainConfig, TrajloomStage),
    "trajloom_visibility": (TrajloomVisibilityTrainConfig, TrajloomVisibilityStage),
}
CONFIG_CLASSES = {stage: config_class for stage, (config_class, _) in _STAGES.items()}


def train(stage: str, config_path: Path, overrides: list[str]) -> None:
    """Trains a stage of _STAGES; a run that was stopped goes on where its last checkpoint left it.

    Under torchrun, as one of its ranks.

    Raises:
        ValueError: for an unreadable config or data folder, or a run folder of another config.
        OSError: where the disk is full, or another rank ended.
    """
    config_class, stage_class = _STAGES[stage]
    config = load(config_class, config_path, overrides)
    built = stage_class(config)
    with join_world() as world:
        run_training(built, config, settings_of(stage, config), world)
        if world.is_first:
            print(f"checkpoint: {Path(config.out) / 'checkpoint'}", flush=True)


def settings_of(stage: str, config: RunConfig) -> dict[str, Any]:
    """What makes a run this one and no other, by names such as "optimisation.learning_rate"."""
    groups = {name: value for name, value in to_dict(config).items() if name not in ("logging", "data")}
    return {"stage": stage} | {name: value for name, value in _by_full_name(groups) if name not in _FREE}


def _by_full_name(values: dict[str, Any], group: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _by_full_name(value, f"{group}{name}.")
        else:
            yield group + name, value
