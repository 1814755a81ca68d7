"""The training loop, the same for every stage: what is trained and how its loss is computed comes as a Stage."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.files.config import to_dict
from trajforecast_model.training.batches import Batch, BatchShare, training_batches
from trajforecast_model.training.configs import RunConfig
from trajforecast_model.training.distributed import SharedGradients, World
from trajforecast_model.training.features.frozen import weights_digest
from trajforecast_model.training.features.kept_features import FrozenNetworks, training_windows
from trajforecast_model.training.log import TrainingLog
from trajforecast_model.training.noise import WindowNoise
from trajforecast_model.training.run_folder import RunFolder
from trajforecast_model.training.schedule import learning_rate_factor
from trajforecast_model.training.state import TrainingState


class Stage(FrozenNetworks, Protocol):
    model: nn.Module  # what is trained
    validation: ShardDataset
    frozen_networks: dict[str, nn.Module]  # what the run uses and does not train, by the name that messages give it

    def mean_weight(self, batch: Batch) -> Tensor:
        """Mean of the weights that the loss gives to the batch's points; of the data alone, no network runs."""

    def loss(
        self, model: nn.Module, batch: Batch, noise: WindowNoise, mean_weight: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, and figures to log beside it. All randomness comes from `noise`.

        A mean over windows, weights divided by `mean_weight`, which is that of the step's whole batch: so the losses of
        parts of equal size average to the loss of the whole.
        """

    def compile(self, model: nn.Module) -> None:
        """Compiles, in place, what the loss runs."""

    def validate(self, model: nn.Module, world: World) -> dict[str, float]:
        """Figures of the averaged model on the val split, each rank doing its share; the same on every rank."""

    def score(self, figures: dict[str, float]) -> float:
        """What of `validate`'s figures the best checkpoint has least; infinite where they say nothing."""

    def export(self, model: nn.Module, folder: Path) -> None:
        """Writes the averaged model as a checkpoint."""


def run_training(stage: Stage, config: RunConfig, fingerprint: str, world: World) -> None:
    """Trains until `optimisation.steps`, resuming where an earlier run stopped. Called on every rank.

    Ctrl-C and SIGTERM save the state before they end the run; a kill loses what came after the last checkpoint.

    Raises:
        ValueError: where `out` holds a run of another config or beside other frozen networks, ranks differ, or the loss
            stops being finite.
        OSError: where the disk is full, or another rank or a loader process died.
    """
    optimisation, logging = config.optimisation, config.logging
    folder = RunFolder(Path(config.out), logging.keep)
    share = BatchShare(optimisation.batch_size, optimisation.accumulate, world.rank, world.size)
    model = stage.model.to(world.device).train()
    frozen = {name: weights_digest(network) for name, network in stage.frozen_networks.items()}
    state = TrainingState(model, optimisation, fingerprint, frozen)
    if (saved := folder.load()) is not None:
        state.load(saved)
    if world.is_first:
        folder.begin(to_dict(config))
    gradients = SharedGradients(state.parameters)
    dataset = training_windows(config.data, stage, world)
    if (text_encoder := stage.frozen_networks.get("text encoder")) is not None:
        if not world.is_first:
            text_encoder.warn = lambda _line: None
        text_encoder.check([*dataset.rows.instruction, *stage.validation.rows.instruction])
    world.check_same(
        config=fingerprint,
        step=state.step,
        data=(len(dataset), len(stage.validation)),
        weights=state.checksum(),
        frozen_networks=frozen,
    )
    if optimisation.compile:
        stage.compile(model)
    batches = iter(training_batches(dataset, share, optimisation.seed, state.step, config.data.workers))
    log = TrainingLog(folder.path / "tensorboard", state.step, optimisation, world)
    log.note(
        f"{len(dataset)} windows, {sum(p.numel() for p in state.parameters):,} trainable parameters, "
        f"{world.size} x {world.device.type}; run folder {folder.path}"
    )

    with _stop_signals() as received, _loader_errors_explained(), log:
        while state.step < optimisation.steps:
            if world.any(bool(received)):
                _save(folder, state, stage, log, world)
                world.any(False)  # torchrun kills all ranks when one has ended, the first one may still be writing
                raise KeyboardInterrupt
            parts = [next(batches).to(world.device) for _ in share.micro_batches]
            mean_weight = world.sum(sum(stage.mean_weight(part) for part in parts) / (len(parts) * world.size))
            gradients.zero()
            totals: dict[str, Tensor] = {}  # of this rank
            for part, positions in zip(parts, share.micro_batches, strict=True):
                noise = WindowNoise(optimisation.seed, state.step, positions, world.device)
                with torch.autocast(world.device.type, torch.bfloat16, enabled=optimisation.precision == "bfloat16"):
                    loss, figures = stage.loss(model, part, noise, mean_weight)
                (loss / (len(parts) * world.size)).backward()
                for name, value in ({"loss": loss.detach()} | figures).items():
                    totals[name] = totals.get(name, 0) + value / len(parts)
            gradients.sum_over(world)
            norm = nn.utils.clip_grad_norm_(state.parameters, optimisation.clip_norm)
            if not torch.isfinite(norm):
                raise ValueError(
                    f"step {state.step}: loss {totals['loss'].item()} or its gradient is not finite; start anew under "
                    "another `out` with a lower optimisation.learning_rate. The last checkpoint is whole"
                )
            state.update(optimisation.learning_rate * learning_rate_factor(state.step, optimisation))

            last = state.step == optimisation.steps
            log.count_step()
            if state.step % logging.log_every == 0 or last:
                log.training(state.step, totals, norm)
            if state.step % logging.validate_every == 0 or last:
                figures = stage.validate(state.average.model, world)
                log.validation(state.step, figures)
                score = stage.score(figures)
                if score < state.best_score:
                    state.best_score = score
                    if world.is_first:
                        folder.save_best(state.step, lambda path: stage.export(state.average.model, path))
            if state.step % logging.checkpoint_every == 0 or last:
                _save(folder, state, stage, log, world)


def _save(folder: RunFolder, state: TrainingState, stage: Stage, log: TrainingLog, world: World) -> None:
    world.check_same(weights=state.checksum())  # ranks that drifted apart must not train on unnoticed

    def export(path: Path) -> None:
        log.flush()  # a resumed run does not log again what this checkpoint has behind it
        stage.export(state.average.model, path)

    if world.is_first:
        folder.save(state.to_dict(), export)


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


@contextmanager
def _loader_errors_explained() -> Iterator[None]:
    """Turns what PyTorch's loader raises for its processes into one line."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise OSError(
            f"a loader process died ({str(error).splitlines()[0]}); if memory was short, lower data.workers. The same "
            "command continues from the last checkpoint"
        ) from error
    except ValueError as error:
        if "DataLoader worker" not in str(error):
            raise
        # The loader puts the worker's whole traceback into the message; its last line is what the worker said.
        raise ValueError(str(error).rstrip().splitlines()[-1].removeprefix("ValueError: ")) from error
