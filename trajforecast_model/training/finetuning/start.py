"""The checkpoint that a fine-tuning starts from, at the geometry of the robot's data.

Positions are fixed tables, so that weights do not depend on how large a grid or a picture is. What they depend on is
refused where the data has it otherwise.
"""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from trajforecast_model.baselines.checkpoint import baseline_kind
from trajforecast_model.checkpoint import (
    ForecastConfig,
    build_vae,
    load_config,
    load_weights,
    save_config,
    save_weights,
)
from trajforecast_model.data.shards import DatasetInfo
from trajforecast_model.files.atomic import new_folder
from trajforecast_model.networks.denoiser import HISTORY_PARTS, Denoiser, DenoiserConfig
from trajforecast_model.networks.history_encoder import HistoryConfig
from trajforecast_model.networks.image_encoder import ImageEncoderConfig, build_image_encoder
from trajforecast_model.training.stages.vae import load_trained_vae

_PAST_FRAMES = "history_encoder.patch_embedding.proj.weight"  # [D, 3 * frames, p, p], the newest frame last


def load_start(folder: Path) -> ForecastConfig:
    """Raises ValueError where that is no checkpoint of a model that can be trained on."""
    if (kind := baseline_kind(folder)) is not None:
        raise ValueError(f"--from {folder}: it is {kind}, a baseline; finetune takes checkpoints of `train denoiser`")
    start = load_config(folder)
    if start.generates != "tracks":
        raise ValueError(f"--from {folder}: it generates {start.generates}; finetune takes models of tracks")
    return start


def at_geometry(
    start: ForecastConfig, data: DatasetInfo, history: int, input_size: tuple[int, int] | None = None
) -> ForecastConfig:
    """The same networks for the data's pictures, points, interval, views and past.

    Args:
        history: past frames that the model is to see; 0 for none.
        input_size: height, width that the image encoder sees; None for the data's pictures as they are, or the size that
            the checkpoint's saw where patches do not divide these.

    Raises:
        ValueError: where the weights are for another number of frames, or for cells that do not divide the grid.
    """
    if data.num_frames != start.num_frames:
        raise ValueError(
            f"the checkpoint forecasts {start.num_frames} frames, windows of the data have {data.num_frames}; prepare it "
            f"with --frames {start.num_frames}, or train a model of your own (train vae, train denoiser)"
        )
    cell = start.denoiser.patch_size * (1 if start.vae is None else start.vae.patch_size)
    if any(side % cell for side in data.grid):
        rows, columns = (max(cell, round(side / cell) * cell) for side in data.grid)
        raise ValueError(
            f"the checkpoint takes points in cells of {cell} x {cell}, which do not divide the data's grid of "
            f"{data.grid[0]}x{data.grid[1]}; prepare it with --grid {rows}x{columns}, say, and an --image-size that "
            "rows and columns divide"
        )
    encoder = replace(start.image_encoder, input_size=input_size or _input_size(start.image_encoder, data))
    grid, vae = tuple(data.grid), start.vae
    if vae is not None:
        image_grid = encoder.grid if vae.image_conditioned else vae.image_grid
        vae = replace(vae, grid=grid, image_size=tuple(data.image_size), image_grid=image_grid)
        grid = vae.latent_grid
    return replace(
        start,
        denoiser=replace(
            start.denoiser, grid=grid, image_grid=encoder.grid, history=_past(start.denoiser.history, data, history)
        ),
        image_encoder=encoder,
        vae=vae,
        image_size=tuple(data.image_size),
        grid=tuple(data.grid),
        dt=data.dt,
        views=tuple(data.views),
        visibility=None,  # its head was trained beside networks that now change
    )


def what_changes(start: ForecastConfig, now: ForecastConfig) -> list[str]:
    """Lines for people: in what the robot's data differs from the checkpoint's, and what that means."""
    lines = []
    for name, was, becomes, meaning in (
        ("seconds between frames", start.dt, now.dt, "points move differently far in a frame, which is learnt"),
        ("views", ", ".join(start.views), ", ".join(now.views), "all views share the weights"),
        ("picture", _size(start.image_size), _size(now.image_size), "of the data"),
        ("points", _size(start.grid), _size(now.grid), "weights do not depend on their number"),
        (
            "the image encoder sees",
            _size(start.image_encoder.input_size),
            _size(now.image_encoder.input_size),
            "--set image_encoder.input_size=[rows,columns] changes it",
        ),
        ("past frames", _frames(start), _frames(now), _about_the_past(start, now)),
    ):
        if was != becomes:
            lines.append(f"{name}: {was} in the checkpoint, now {becomes} ({meaning})")
    if start.visibility is not None:
        lines.append(
            "visibility: its head belongs to the checkpoint's networks and is left out; `trajforecast train visibility` "
            "makes one for the new ones"
        )
    return lines


def write_start(
    source: Path, now: ForecastConfig, folder: Path, trained_vae: Path | None = None, fresh: bool = False
) -> None:
    """Writes the weights of a checkpoint as one of config `now`; it forecasts as the first one does, where that could.

    Args:
        source: of the checkpoint that `now` was made of by `at_geometry`.
        trained_vae: the run's folder of a VAE that takes the place of the checkpoint's.
        fresh: draw the weights anew.
    """
    if folder.exists():
        return
    start = load_config(source)
    torch.manual_seed(0)  # of fresh weights, and of those that see a past which the checkpoint did not
    denoiser, vae, encoder = Denoiser(now.denoiser), build_vae(now, None if fresh else source), None
    if not fresh:
        theirs = Denoiser(start.denoiser)
        load_weights(theirs, source / "denoiser.safetensors")
        weights = _with_history(theirs.state_dict(), start.denoiser, now.denoiser, denoiser.state_dict())
        denoiser.load_state_dict(weights)
    if start.image_encoder.kind == "patch":
        encoder = build_image_encoder(now.image_encoder)
        if not fresh:
            load_weights(encoder, source / "image_encoder.safetensors")
    if trained_vae is not None:
        trained, model = load_trained_vae(trained_vae)
        now, vae = replace(now, latent_std=trained.latent_std), model.vae
        if model.image_encoder is not None and trained.image_encoder.kind == "patch":
            encoder = model.image_encoder
    with new_folder(folder) as unfinished:
        save_weights(denoiser, unfinished / "denoiser.safetensors")
        if vae is not None:
            save_weights(vae, unfinished / "vae.safetensors")
        if encoder is not None:
            save_weights(encoder, unfinished / "image_encoder.safetensors")
        save_config(now, unfinished)


def _with_history(
    state: dict[str, Tensor], theirs: DenoiserConfig, ours: DenoiserConfig, new: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Weights of a denoiser with another past: the newest frames go on as they were, older ones count for nothing at first."""
    if ours.history is None or theirs.history is None:
        others = {name: weight for name, weight in state.items() if not name.startswith(HISTORY_PARTS)}
        return others | {name: weight for name, weight in new.items() if name.startswith(HISTORY_PARTS)}
    was, frames = state[_PAST_FRAMES], 3 * min(theirs.history.frames, ours.history.frames)
    resized = torch.zeros_like(new[_PAST_FRAMES])
    resized[:, -frames:] = was[:, -frames:]
    return state | {_PAST_FRAMES: resized}


def _input_size(encoder: ImageEncoderConfig, data: DatasetInfo) -> tuple[int, int]:
    if encoder.kind == "patch" and not any(side % encoder.patch_size for side in data.image_size):
        return tuple(data.image_size)
    return encoder.input_size


def _past(theirs: HistoryConfig | None, data: DatasetInfo, frames: int) -> HistoryConfig | None:
    if not frames:
        return None
    return replace(theirs or HistoryConfig(frames), frames=frames, grid=tuple(data.grid))


def _frames(config: ForecastConfig) -> int:
    return 0 if config.denoiser.history is None else config.denoiser.history.frames


def _about_the_past(start: ForecastConfig, now: ForecastConfig) -> str:
    if not _frames(now):
        return f"forecasts are of the present alone; prepare the data with --history {_frames(start)} to keep the past"
    if not _frames(start):
        return "it is learnt from the data alone"
    return "frames that are new count for nothing at first" if _frames(now) > _frames(start) else "the newest ones"


def _size(sides: tuple[int, int]) -> str:
    return f"{sides[0]}x{sides[1]}"
