"""Trains a denoiser on a data pack for the given seconds, evaluates it on the packed held-out windows, brings it back.

The run itself is `trajforecast train`. Its speed is measured in its first steps, which are part of the warm-up; from that
follows how many there will be, so that the learning rate has come down when the time is over. The same command goes on
with what an earlier one trained. Every checkpoint comes back when it is written, in parts, so that a machine that is taken
away leaves the last one.
"""

import argparse
import contextlib
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gpu_day.checkpoint_parts import PART_SIZE, split
from gpu_day.scale import FULL, TOY, Scale
from gpu_day.toy import pack_folder
from trajforecast_model.evaluation.protocol import evaluate
from trajforecast_model.files.atomic import write_atomically
from trajforecast_model.files.config import load
from trajforecast_model.training.configs import DenoiserTrainConfig
from trajforecast_model.training.pack.pack import LATENTS, TEXTS, VAE
from trajforecast_model.training.pack.parts import unpack
from trajforecast_model.training.run import train

EVALUATION_SECONDS = 15  # kept for it
SAVE_EVERY = 45  # seconds
POINTS = 60  # of the loss curve
SPEED_KEPT = 0.93  # of what was measured, beside validation and checkpoints
MOST_BYTES = 60_000_000  # of checkpoints that come back in one call, beside the rest
MOST_FILES = 4  # of them, beside the log, the report and what each checkpoint has to be
VALIDATIONS = 8


class Run:
    """What is trained where: a config of `trajforecast train denoiser` on the unpacked data."""

    def __init__(self, config: Path, work: Path, scale: Scale):
        self.config, self.work, self.data = config, work, work / "data"
        self.folder = work / config.stem
        self._overrides = list(scale.train_overrides)

    @property
    def overrides(self) -> list[str]:
        texts = self.data / TEXTS
        starts = load(DenoiserTrainConfig, self.config, []).start_from is not None  # from what brings its own VAE
        kept = ["text_encoder.kind=kept", f"text_encoder.source={texts}"] if texts.is_file() else []
        return [
            f"out={self.folder}",
            *([] if starts else [f"vae={self.data / VAE}"]),
            f"data.folder={self.data}",
            f"data.latent_cache={self.data / LATENTS}",
            *kept,
            *self._overrides,
        ]

    @property
    def settings(self) -> DenoiserTrainConfig:
        return load(DenoiserTrainConfig, self.config, self.overrides)

    @property
    def step(self) -> int:
        """Of the newest checkpoint."""
        return max((int(path.name[5:]) for path in self.folder.glob("checkpoints/step_*")), default=0)

    def train(self, steps: int, **logging: int) -> None:
        train("denoiser", self.config, [
            *self.overrides, f"optimisation.steps={steps}", *(f"logging.{name}={value}" for name, value in logging.items()),
        ])  # fmt: skip

    def scalars(self) -> dict[str, np.ndarray]:
        """What TensorBoard has, [2, N] steps and values by tag."""
        events = EventAccumulator(str(self.folder / "tensorboard"), size_guidance={"scalars": 0}).Reload()
        return {
            tag: np.array([(event.step, event.value) for event in events.Scalars(tag)]).T
            for tag in events.Tags()["scalars"]
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rehearse", action="store_true")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="of all of it, evaluation and unpacking included")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    scale = TOY if args.rehearse else FULL
    try:
        run = Run(args.config, Path(os.environ["WORK"]), scale)
        return train_for(args.seconds, run, pack_folder(args.rehearse), scale, args.out)
    except (ValueError, OSError) as error:
        print(f"train: error: {error}", file=sys.stderr)
        return 2


def train_for(seconds: float, run: Run, pack: Path, scale: Scale, out: Path) -> int:
    began = time.monotonic()
    missing = unpack(sorted(pack.glob("part_*.tar")), run.data)
    if not (run.data / "dataset.json").is_file():
        raise ValueError(f"the first part of the pack is not in {pack}; it holds what all the others need")
    print(f"unpacked after {time.monotonic() - began:.0f} s; parts that are not here: {', '.join(missing) or 'none'}")

    with _brought_back(run, out):
        speed = _steps_per_second(run, scale)
        left = seconds - (time.monotonic() - began) - EVALUATION_SECONDS
        steps = run.step + max(1, int(left * speed * SPEED_KEPT))
        print(f"{speed:.1f} steps/s: to step {steps} in {left:.0f} s")
        with _stopped_after(max(left, 1) + EVALUATION_SECONDS / 2):
            run.train(
                steps,
                log_every=max(1, steps // POINTS),
                validate_every=max(1, steps // VALIDATIONS),
                checkpoint_every=max(1, int(SAVE_EVERY * speed)),
            )
    _bring_best(run, out)
    figures = _figures(run) | {"parts_missing": missing, "steps_per_second": speed}
    _write(figures | {"seconds": time.monotonic() - began}, out)
    report = evaluate(
        run.folder / "checkpoint", run.data, list(scale.sample_counts), run.work / "evaluation.json",
        max_windows=scale.held_out, device=scale.device, dtype=scale.dtype,
    )  # fmt: skip
    _write(figures | {"seconds": time.monotonic() - began, "evaluation": report}, out)
    return 0


def _steps_per_second(run: Run, scale: Scale) -> float:
    """Measured in the first steps of a new run, remembered when it goes on."""
    remembered = run.folder / "steps_per_second.json"
    if run.step == 0:
        half = max(1, scale.calibration_steps // 2)
        run.train(2 * half, log_every=half, validate_every=2 * half, checkpoint_every=2 * half)
        rate = run.scalars()["train/samples_per_second"][1, -1]  # of the second half
        write_atomically(remembered, json.dumps(rate / run.settings.optimisation.batch_size).encode())
        size = sum(file.stat().st_size for file in (run.folder / "checkpoint").iterdir())
        print(
            f"the checkpoint has {size:,} bytes" + ("" if size < MOST_BYTES else ": more than comes back in one call")
        )
    return json.loads(remembered.read_text())


@contextlib.contextmanager
def _brought_back(run: Run, out: Path) -> Iterator[None]:
    """Brings back each checkpoint as soon as it is there, from another thread."""
    ended, newest = threading.Event(), run.folder / "checkpoint"
    brought: list[Path] = []

    def bring() -> None:
        with contextlib.suppress(FileNotFoundError):  # none yet, or gone for a newer one while it was read
            if brought[-1:] != [newest.resolve(strict=True)]:
                now = newest.resolve()
                split(now, out)
                brought.append(now)

    def watch() -> None:
        while not ended.wait(2):
            bring()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        bring()


@contextlib.contextmanager
def _stopped_after(seconds: float) -> Iterator[None]:
    """A run that takes longer than its first steps let expect saves and ends, as after Ctrl-C."""
    previous = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # for a timer that fires when the run is just over
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGTERM))
    timer.daemon = True
    timer.start()
    try:
        yield
    except KeyboardInterrupt:
        print("the time is over: saved and stopped")
    finally:
        timer.cancel()
        signal.signal(signal.SIGTERM, previous)


def _bring_best(run: Run, out: Path) -> None:
    """The checkpoint that was best in validation, beside the last one, which may have learned its windows by heart."""
    best = (run.folder / "checkpoint_best").resolve()  # best_STEP
    size = sum(file.stat().st_size for file in best.iterdir())
    fits = 2 * size < MOST_BYTES and 2 * math.ceil(size / PART_SIZE) <= MOST_FILES
    if int(best.name.removeprefix("best_")) != run.step and fits:
        split(best, out / "best")


def _figures(run: Run) -> dict:
    scalars = run.scalars()
    losses = scalars.pop("train/loss")
    return {
        "config": run.config.name,
        "step": run.step,
        "batch_size": run.settings.optimisation.batch_size,
        "losses": losses.T.tolist(),  # steps and losses
        "validation": {tag: curve.T.tolist() for tag, curve in scalars.items() if tag.startswith("val/")},
        "samples_per_second": float(np.median(scalars["train/samples_per_second"][1])),
    }


def _write(figures: dict, out: Path) -> None:
    write_atomically(out / "train.json", (json.dumps(figures, indent=2) + "\n").encode())


if __name__ == "__main__":
    sys.exit(main())
