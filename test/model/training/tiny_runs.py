"""Runs of small networks on the synthetic discs, and what they leave behind."""

from pathlib import Path

import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from trajforecast_model.cli import main

QUIET = dict(log_every=1, checkpoint_every=4, validate_every=1000, validation_windows=4, validation_samples=2)


def vae_config(data: Path, out: Path, steps: int = 8, **changes) -> dict:
    return {
        "out": str(out),
        "data": {"folder": str(data), "workers": 0},
        "vae": dict(
            patch_size=16,
            temporal_stride=15,
            dim=64,
            depth=2,
            heads=1,
            latent_channels=8,
            image_conditioned=False,
            fourier_features=False,
            offset_scale=8.0,
        ),
        "optimisation": dict(steps=steps, batch_size=8, learning_rate=2e-3, warmup_steps=4, precision="float32"),
        "logging": dict(QUIET),
        "moving_weight": 8.0,
    } | changes


def denoiser_config(data: Path, out: Path, vae: Path | None, steps: int = 8, **changes) -> dict:
    return {
        "out": str(out),
        "vae": None if vae is None else str(vae),
        "data": {"folder": str(data), "workers": 0},
        "denoiser": dict(dim=64, depth=2, heads=1, patch_size=1 if vae else 16, aligned_image=True),
        "image_encoder": dict(kind="patch", source=None, patch_size=16, dim=64, depth=1, heads=1),
        "text_encoder": dict(source="minilm", pooling="mean", dim=384),
        "optimisation": dict(steps=steps, batch_size=8, learning_rate=2e-3, warmup_steps=4, precision="float32"),
        "logging": dict(QUIET),
        "draws_per_window": 2,
        "sampling_steps": 3,
    } | changes


def write_config(config: dict, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def run(stage: str, config: dict, folder: Path) -> int:
    return main(["train", stage, "--config", str(write_config(config, folder))])


def steps_on_disk(out: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("step_")) for path in (out / "checkpoints").glob("step_*"))


def state(out: Path) -> dict:
    """Of the newest checkpoint."""
    return torch.load(max((out / "checkpoints").glob("step_*")) / "state.pt", weights_only=True)


def same_state(a: dict, b: dict) -> bool:
    """Bit for bit: weights, their average, and the optimiser's moments."""
    moments = [
        torch.equal(a["optimiser"]["state"][number][name], value)
        for number, values in b["optimiser"]["state"].items()
        for name, value in values.items()
    ]
    weights = [torch.equal(a[part][name], b[part][name]) for part in ("model", "average") for name in b[part]]
    return a["step"] == b["step"] and a["best_score"] == b["best_score"] and all(moments) and all(weights)


def logged(out: Path, tag: str = "train/loss") -> dict[int, float]:
    """What TensorBoard shows, by step."""
    events = EventAccumulator(str(out / "tensorboard")).Reload()
    return {event.step: event.value for event in events.Scalars(tag)}
