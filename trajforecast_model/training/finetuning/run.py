"""`trajforecast finetune`: a checkpoint, trained on with a robot's own data.

runs/mine/
    start/                   the checkpoint at the data's geometry, untrained; start_trained_vae/ where the VAE was trained on
    vae/                     the run of the VAE, where it was trained on
    checkpoint -> ...        and all else that a denoiser's run leaves, see training/run_folder.py
    finetune.json  README.md what was asked for and decided; the model card
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from trajforecast_model.checkpoint import checkpoint_folder, load_config
from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.files.disk import check_room
from trajforecast_model.files.outputs import ready_folder
from trajforecast_model.training.batches import BatchShare
from trajforecast_model.training.checks import check_windows
from trajforecast_model.training.configs import RunConfig
from trajforecast_model.training.distributed import World, join_world
from trajforecast_model.training.finetuning.card import write_cards
from trajforecast_model.training.finetuning.config import (
    Asked,
    FinetuneConfig,
    asked_input_size,
    build_config,
    past_frames,
)
from trajforecast_model.training.finetuning.pace import seconds_per_step
from trajforecast_model.training.finetuning.record import Record, read_record
from trajforecast_model.training.finetuning.start import at_geometry, load_start, what_changes, write_start
from trajforecast_model.training.loop import Stage, run_training
from trajforecast_model.training.run import settings_of
from trajforecast_model.training.run_folder import RunFolder
from trajforecast_model.training.stages.denoiser import DenoiserStage
from trajforecast_model.training.stages.vae import VAEStage

_DEFAULT_MINUTES = 30.0
_FOR_STEPS = 0.9  # of the minutes; the rest is for checkpoints and validations
_VAE_WINDOWS = 256  # by which a VAE is judged


def finetune(asked: Asked, out: Path, resume: bool = False) -> None:
    """Trains a checkpoint on. Where `out` holds a run of the same, that goes on.

    Args:
        resume: a run is there, and what is not asked for is as it was.

    Raises:
        ValueError: for data or a checkpoint that cannot be trained on, or another run in `out`; before the work begins.
        OSError: where the disk is full.
    """
    out = ready_folder("out", out)
    record = read_record(out)
    with join_world() as world:
        if world.size > 1:
            raise ValueError(
                "finetune runs in one process; with several GPUs go on by `torchrun ... train denoiser`, whose config "
                "is the config.json of its folder"
            )
        if record is None:
            if resume:
                raise ValueError(f"--resume: {out} holds no fine-tuning to go on with; leave it out to begin one")
            record = _planned(asked, out, world)
            record.write(out)
        else:
            record.check_same(asked, out, resume)
        with _noting(record, out):
            _train(record, out, world)
    print(f"checkpoint: {out / 'checkpoint'}", flush=True)


def _planned(asked: Asked, out: Path, world: World) -> Record:
    for option, value in (("--from", asked.source), ("--data", asked.data)):
        if value is None:
            raise ValueError(f"{option} is missing: name the {'checkpoint' if option == '--from' else 'prepared data'}")
    if (out / "checkpoints").exists():
        raise ValueError(f"{out} holds another run than one of finetune; choose another --out")
    RunFolder(out, keep=1)  # refuses what is no run's folder
    source = checkpoint_folder(asked.source, allow_download=False)
    start = load_start(source)
    training, validation = (ShardDataset(asked.data, split, history_pictures=False) for split in ("train", "val"))
    now = at_geometry(start, training.info, past_frames(asked, training), asked_input_size(asked))

    def config(steps: int, vae_steps: int) -> FinetuneConfig:
        return build_config(asked, now, out, len(training), steps, vae_steps, world)

    trial = config(1, 1)
    for optimisation in (trial.optimisation, *([] if now.vae is None else [trial.vae_training.optimisation])):
        BatchShare(optimisation.batch_size, optimisation.accumulate).check_enough(len(training))
    for windows, split in ((training, "train"), (validation, "val")):
        check_windows(windows, split, with_instructions=start.text_encoder is not None)
    weights = sum(file.stat().st_size for file in source.glob("*.safetensors"))
    check_room(out, 2 * weights, f"{out / 'start'}, the checkpoint at the data's geometry,")  # stored in half, maybe
    write_start(source, now, out / "start", fresh=asked.fresh)
    stage = DenoiserStage(trial.of_denoiser())
    _look_for_room(stage, trial.of_denoiser())
    told = ["its weights were drawn anew"] if asked.fresh else []
    told += what_changes(start, now)
    for line in told:
        print(line, flush=True)
    vae_stage, vae_kept = None, True
    if now.vae is not None:
        vae_stage = VAEStage(trial.vae_training)
        vae_kept, line = _judged(vae_stage, trial, world)
        told.append(line)
        print(line, flush=True)
        if not vae_kept:
            _look_for_room(vae_stage, trial.vae_training)
    share = 0 if vae_kept else trial.vae_share
    steps, vae_steps = asked.steps, math.ceil((asked.steps or 0) * share / (1 - share))
    if asked.steps is None:
        minutes = _DEFAULT_MINUTES if asked.minutes is None else asked.minutes
        steps = _steps_in(minutes * (1 - share), stage, trial.of_denoiser(), world)
        vae_steps = 0 if vae_kept else _steps_in(minutes * share, vae_stage, trial.vae_training, world)
        before = f"{vae_steps} of the VAE and " if vae_steps else ""
        print(f"{minutes:g} minutes are about {before}{steps} steps on this machine", flush=True)
    return Record(asked, config(steps, max(1, vae_steps)), vae_kept, tuple(told), _about(training, validation, asked))


def _train(record: Record, out: Path, world: World) -> None:
    config = record.config
    if not record.vae_kept:
        started = out / "start_trained_vae"
        if not started.exists():
            vae = config.vae_training
            run_training(VAEStage(vae), vae, settings_of("vae", vae), world)
            write_start(out / "start", load_config(out / "start"), started, trained_vae=out / "vae")
        config = replace(config, start_from=str(started))
    denoiser = config.of_denoiser()
    run_training(DenoiserStage(denoiser), denoiser, settings_of("denoiser", denoiser), world)


@contextmanager
def _noting(record: Record, out: Path) -> Iterator[None]:
    """However the training ends, what is there says how long it took."""
    begun = time.monotonic()
    try:
        yield
    finally:
        record = record.after(time.monotonic() - begun)
        record.write(out)
        write_cards(out, record)


def _judged(stage: VAEStage, config: FinetuneConfig, world: World) -> tuple[bool, str]:
    """Whether the checkpoint's VAE is kept, and why, in a line."""
    figures = stage.validate(stage.model.to(world.device).eval(), world, _VAE_WINDOWS)
    error, still = figures.get("moving_points_px2", 0.0), figures.get("nothing_moves_px2", math.inf)
    kept, bound = error <= config.keep_vae_below * still, f"{config.keep_vae_below:.3g} of it (keep_vae_below)"
    return kept, (
        f"VAE: it gives moving points of the data back with an error of {error:.3g} px^2, where nothing moving has "
        f"{still:.3g}; {f'no more than {bound}: kept' if kept else f'more than {bound}: trained on first'}"
    )


def _steps_in(minutes: float, stage: Stage, config: RunConfig, world: World) -> int:
    return max(1, round(_FOR_STEPS * 60 * minutes / seconds_per_step(stage, config, world)))


def _look_for_room(stage: Stage, config: RunConfig) -> None:
    trained = sum(weight.nbytes for weight in stage.model.parameters() if weight.requires_grad)
    exported = sum(
        tensor.nbytes for part in stage.exported(stage.model).values() for tensor in part.state_dict().values()
    )
    keep = config.logging.keep
    RunFolder(Path(config.out), keep).check_room(state=4 * trained, export=exported, checkpoints=keep + 1)


def _about(training: ShardDataset, validation: ShardDataset, asked: Asked) -> str:
    info, tasks = training.info, sorted(set(map(str, training.rows.instruction)))
    words = ", ".join(f'"{task}"' for task in tasks[:5]) + (f" and {len(tasks) - 5} more" if len(tasks) > 5 else "")
    return (
        f"`{asked.data}`, {len(training)} windows for training and {len(validation)} for validation, views "
        f"{', '.join(info.views)}, {info.num_frames} frames {info.dt:.4g} s apart, {info.history_frames} past frames, "
        f"pictures {info.image_size[0]}x{info.image_size[1]}, points {info.grid[0]}x{info.grid[1]}, labelled by "
        f"{info.labeler}; told: {words}"
    )
