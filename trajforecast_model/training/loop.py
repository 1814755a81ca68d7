"""The training loop, the same for every stage: what is trained and how its loss is computed comes as a Stage."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from trajforecast_model.checkpoint import temporary_beside
from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.training.batches import Batch, training_batches
from trajforecast_model.training.configs import DataConfig, LoggingConfig, OptimisationConfig
from trajforecast_model.training.ema import ExponentialMovingAverage
from trajforecast_model.training.schedule import learning_rate_factor

STATE_FILE = "training_state.pt"


class Stage(Protocol):
    model: nn.Module  # what is trained

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, and figures to log beside it. All randomness comes from the generator."""

    def compile(self, model: nn.Module) -> None:
        """Compiles, in place, what the loss runs."""

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Figures of the averaged model on the val split."""

    def export(self, model: nn.Module, folder: Path) -> None:
        """Writes the averaged model as a checkpoint."""


def run_training(
    stage: Stage,
    out: Path,
    data: DataConfig,
    optimisation: OptimisationConfig,
    logging: LoggingConfig,
    fingerprint: str,
) -> None:
    """Trains until `optimisation.steps`, resuming from `out` where an earlier run stopped.

    Ctrl-C and SIGTERM save the state before they end the run; a kill loses what came after the last checkpoint.

    Raises:
        ValueError: where `out` holds a run of another config, or the loss stops being finite.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = stage.model.to(device).train()
    average = ExponentialMovingAverage(model, optimisation.ema_decay)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=optimisation.learning_rate, weight_decay=optimisation.weight_decay
    )
    start = _resume(out / STATE_FILE, fingerprint, model, average, optimiser)
    if optimisation.compile:
        stage.compile(model)
    dataset = ShardDataset(data.folder, split="train")
    batches = iter(training_batches(dataset, optimisation.batch_size, optimisation.seed, start, data.workers))
    writer = SummaryWriter(str(out / "tensorboard"), purge_step=start)
    print(f"{len(dataset)} windows, {_count(model):,} trainable parameters, {device}; run folder {out}", flush=True)

    progress = tqdm(initial=start, total=optimisation.steps, unit="step", dynamic_ncols=True)
    step, clock, windows_since = start, time.perf_counter(), 0
    with _stop_signals() as stopped, progress, writer:
        while step < optimisation.steps and not stopped:
            batch = next(batches).to(device)
            # Seeded by the step, so that a resumed run draws what the undisturbed one would have drawn.
            generator = torch.Generator().manual_seed(optimisation.seed * 1_000_003 + step)
            for group in optimiser.param_groups:
                group["lr"] = optimisation.learning_rate * learning_rate_factor(step, optimisation)
            with torch.autocast(device.type, torch.bfloat16, enabled=optimisation.precision == "bfloat16"):
                loss, figures = stage.loss(model, batch, generator)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), optimisation.clip_norm)
            if not torch.isfinite(norm):
                raise ValueError(
                    f"step {step}: loss {loss.item()} or its gradient is not finite; lower optimisation.learning_rate. "
                    f"The state of the last checkpoint is whole."
                )
            optimiser.step()
            average.update(model, step)
            step += 1
            windows_since += len(batch.instructions)
            progress.update()
            if step % logging.log_every == 0 or step == optimisation.steps:
                rate = windows_since / (time.perf_counter() - clock)
                clock, windows_since = time.perf_counter(), 0
                figures = {"loss": loss.item(), "gradient_norm": norm.item(), "samples_per_second": rate} | {
                    name: value.item() for name, value in figures.items()
                }
                _log(writer, "train", figures, step)
                progress.set_postfix_str(f"loss {figures['loss']:.4f}, {rate:.0f} samples/s")
            if step % logging.validate_every == 0 or step == optimisation.steps:
                figures = stage.validate(average.model)
                _log(writer, "val", figures, step)
                progress.write(f"step {step}: " + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()))
                clock, windows_since = time.perf_counter(), 0
            if step % logging.checkpoint_every == 0 or step == optimisation.steps or stopped:
                _save(out / STATE_FILE, fingerprint, step, model, average, optimiser)
                stage.export(average.model, out / "checkpoint")
    if stopped:
        raise KeyboardInterrupt


def _save(path: Path, fingerprint: str, step: int, model, average, optimiser) -> None:
    temporary = temporary_beside(path)
    try:
        torch.save(
            {
                "fingerprint": fingerprint,
                "step": step,
                "model": model.state_dict(),
                "average": average.model.state_dict(),
                "optimiser": optimiser.state_dict(),
            },
            temporary,
        )
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _resume(path: Path, fingerprint: str, model, average, optimiser) -> int:
    """Loads the state that an earlier run left and returns its step; 0 where there is none."""
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True, map_location="cpu")
    if state["fingerprint"] != fingerprint:
        raise ValueError(
            f"{path.parent} holds a run of another config: choose another `out`, or delete that folder to start over"
        )
    model.load_state_dict(state["model"])
    average.model.load_state_dict(state["average"])
    optimiser.load_state_dict(state["optimiser"])
    return state["step"]


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """A list that is filled by SIGINT or SIGTERM, so that a step is never cut in two."""
    received: list[int] = []
    previous = {
        number: signal.signal(number, lambda number, _: received.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _log(writer: SummaryWriter, group: str, figures: dict[str, float], step: int) -> None:
    for name, value in figures.items():
        writer.add_scalar(f"{group}/{name}", value, step)


def _count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
