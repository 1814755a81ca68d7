"""`trajforecast train`: reads the YAML, builds the stage, runs the loop."""

import hashlib
import json
from pathlib import Path

from trajforecast_model.files.config import load, to_dict
from trajforecast_model.training.configs import (
    ATMTrainConfig,
    DenoiserTrainConfig,
    StudentTrainConfig,
    Track2ActTrainConfig,
    VAETrainConfig,
)
from trajforecast_model.training.distributed import join_world
from trajforecast_model.training.loop import run_training
from trajforecast_model.training.stages.atm import ATMStage
from trajforecast_model.training.stages.denoiser import DenoiserStage
from trajforecast_model.training.stages.student import StudentStage
from trajforecast_model.training.stages.track2act import Track2ActStage
from trajforecast_model.training.stages.vae import VAEStage

_STAGES = {
    "vae": (VAETrainConfig, VAEStage),
    "denoiser": (DenoiserTrainConfig, DenoiserStage),
    "student": (StudentTrainConfig, StudentStage),
    "atm": (ATMTrainConfig, ATMStage),
    "track2act": (Track2ActTrainConfig, Track2ActStage),
}


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
    # On resume a run may log and store in another way, read more data, split its batches otherwise and go on for longer,
    # but not change its task.
    values = to_dict(config)
    identity = {key: value for key, value in values.items() if key not in ("logging", "data", "out", "stored_dtype")}
    identity["optimisation"] = {
        key: value for key, value in values["optimisation"].items() if key not in ("steps", "accumulate", "compile")
    }
    fingerprint = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    with join_world() as world:
        run_training(built, config, fingerprint, world)
        if world.is_first:
            print(f"checkpoint: {Path(config.out) / 'checkpoint'}", flush=True)
