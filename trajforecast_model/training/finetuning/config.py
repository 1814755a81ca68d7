"""What a fine-tuning is: asked for on the command line, and all that follows from that, the checkpoint and the data."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from trajforecast_model.checkpoint import ForecastConfig
from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.files.config import apply_override, check_at_least, from_dict, to_dict
from trajforecast_model.runtime.device import slow_in
from trajforecast_model.training.configs import DenoiserSizeConfig, DenoiserTrainConfig, VAETrainConfig
from trajforecast_model.training.distributed import World

_BATCH = 16
_LEARNING_RATE, _VAE_LEARNING_RATE = 4e-4, 5e-4
_TAKEN = {"out": "--out", "start_from": "--from", "vae": "--from", "data.folder": "--data", "target": "--from"}


@dataclass(frozen=True)
class Asked:
    """None where an option was not given."""

    source: str | None = None
    data: str | None = None
    minutes: float | None = None
    steps: int | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    history: int | None = None
    fresh: bool = False  # of the checkpoint only what its networks are
    changes: tuple[str, ...] = ()

    def __post_init__(self):
        if self.minutes is not None and not 0 < self.minutes < 1e5:
            raise ValueError(f"--minutes: got {self.minutes:g}, expected more than 0")
        for name in ("steps", "batch_size"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"--{name.replace('_', '-')}: got {value}, expected at least 1")
        if self.history is not None and self.history < 0:
            raise ValueError(f"--history: got {self.history}, expected at least 0")


@dataclass(frozen=True)
class FinetuneConfig(DenoiserTrainConfig):
    """What `train denoiser` may say, and what is decided before."""

    vae_training: VAETrainConfig | None = None  # of a VAE that is not kept; null for a checkpoint without a VAE
    keep_vae_below: float = 0.03  # the VAE is kept where its error is less than this share of that of "nothing moves"
    vae_share: float = 0.3  # of the minutes (or as many more steps) for a VAE that is not kept

    def __post_init__(self):
        super().__post_init__()
        check_at_least(0, self, "keep_vae_below")
        if not 0 < self.vae_share < 1:
            raise ValueError(f"vae_share: got {self.vae_share}, expected a share between 0 and 1")

    def of_denoiser(self) -> DenoiserTrainConfig:
        return DenoiserTrainConfig(**{field.name: getattr(self, field.name) for field in fields(DenoiserTrainConfig)})


def settings_in(changes: tuple[str, ...]) -> dict[str, Any]:
    """The nested settings that `--set` gave. Raises ValueError for those that other options say."""
    values: dict[str, Any] = {}
    for change in changes:
        name = change.partition("=")[0]
        if name in _TAKEN:
            raise ValueError(f"--set {name}: {_TAKEN[name]} says that; leave it out")
        apply_override(values, change)
    return values


def asked_input_size(asked: Asked) -> tuple[int, int] | None:
    """What `--set` says of the image encoder's size. Raises ValueError where that is none."""
    encoder = settings_in(asked.changes).get("image_encoder", {})
    if not isinstance(encoder, dict):
        raise ValueError(f"--set image_encoder: got {encoder!r}, and it is the checkpoint's; leave it out")
    size = encoder.get("input_size")
    if size is not None and not (isinstance(size, list) and [type(side) for side in size] == [int, int]):
        raise ValueError(f"--set image_encoder.input_size: got {size!r}, expected [rows,columns]")
    return None if size is None else tuple(size)


def past_frames(asked: Asked, data: ShardDataset) -> int:
    """How many past frames the model is to see: all that the data has, unless fewer are asked for.

    Raises:
        ValueError: where the data does not reach so far back.
    """
    of_settings = settings_in(asked.changes).get("history", {})
    frames = of_settings.get("frames", asked.history) if isinstance(of_settings, dict) else of_settings or 0
    if not isinstance(frames, int | None):
        raise ValueError(f"--set history.frames: got {frames!r}, expected a number of frames")
    there = data.info.history_frames
    if frames is None:
        return there
    if frames > there:
        raise ValueError(
            f"--history {frames}: {data.folder} has {there} past frames a window; prepare it with --history {frames}"
        )
    return frames


def build_config(
    asked: Asked, now: ForecastConfig, out: Path, windows: int, steps: int, vae_steps: int, world: World
) -> FinetuneConfig:
    """
    Args:
        now: the checkpoint at the data's geometry.
        windows: of the training split.
        steps, vae_steps: of the optimiser, unless `--set` says otherwise.
    """
    slow = slow_in(torch.bfloat16, world.device) is not None or world.device.type == "cpu"
    batch = asked.batch_size or min(_BATCH, windows)

    def optimisation(steps: int, learning_rate: float) -> dict[str, Any]:
        return dict(
            steps=steps,
            batch_size=batch,
            learning_rate=learning_rate,
            warmup_steps=min(50, steps // 10),
            decay="cosine",
            ema_decay=0.99,  # of a short run
            precision="float32" if slow else "bfloat16",
        )

    def logging(steps: int) -> dict[str, Any]:
        every = max(1, -(-steps // 10))
        return dict(log_every=min(50, every), checkpoint_every=every, validate_every=2 * every, validation_windows=64)

    data = dict(folder=str(asked.data), workers=1)
    encoder = to_dict(now.image_encoder)
    weights = dict(moving_weight=16.0, equal_windows=True)  # side views are nearly all still points
    values = dict(
        out=str(out),
        start_from=str(out / "start"),
        data=data | ({} if now.vae is None else {"latent_cache": str(out / "latents")}),
        denoiser={field.name: getattr(now.denoiser, field.name) for field in fields(DenoiserSizeConfig)},
        history=_past(now),
        image_encoder=encoder,
        text_encoder=None if now.text_encoder is None else to_dict(now.text_encoder),
        optimisation=optimisation(steps, _LEARNING_RATE if asked.learning_rate is None else asked.learning_rate),
        logging=logging(steps),
        draws_per_window=2,
        pure_noise_draws=1,
        stored_dtype="float16",
        sampling_steps=now.steps,
        sampling_solver=now.solver,
        anchor_first_frame=now.anchor_first_frame,
        **weights,
    )
    if now.vae is not None:
        values["vae_training"] = dict(
            out=str(out / "vae"),
            start_from=str(out / "start"),
            data=dict(data),
            vae=to_dict(now.vae),
            image_encoder=encoder,
            optimisation=optimisation(vae_steps, _VAE_LEARNING_RATE),
            logging=logging(vae_steps),
            **weights,
        )
    for change in asked.changes:
        apply_override(values, change)
    return from_dict(FinetuneConfig, values)


def _past(now: ForecastConfig) -> dict[str, Any] | None:
    if (history := now.denoiser.history) is None:
        return None
    of_network = {name: getattr(history, name) for name in ("frames", "pooling", "depth", "last_motion")}
    return of_network | dict(without=0.15, shortened=0.25, lost_points=0.3)
