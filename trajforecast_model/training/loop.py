"""The training loop, the same for every stage: what is trained and how its loss is computed comes as a Stage."""

import math
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from trajforecast_model.files.config import defaults, to_dict
from trajforecast_model.runtime.device import slow_in
from trajforecast_model.training.batches import Batch, BatchShare, loading, training_batches
from trajforecast_model.training.configs import RunConfig
from trajforecast_model.training.distributed import World
from trajforecast_model.training.features.frozen import weights_digest
from trajforecast_model.training.gradients import StepGradients
from trajforecast_model.training.loader_errors import loader_errors_explained
from trajforecast_model.training.log import TrainingLog
from trajforecast_model.training.noise import WindowNoise
from trajforecast_model.training.run_folder import RunFolder
from trajforecast_model.training.schedule import learning_rate_factor
from trajforecast_model.training.state import TrainingState
from trajforecast_model.training.training_data import PreparedData, StageOfWindows, TrainingData


class Stage(StageOfWindows, Protocol):
    """One that trains on something else than prepared windows has `data: TrainingData` besides."""

    model: nn.Module  # what is trained
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

    def validate(self, model: nn.Module, world: World, windows: int | None = None) -> dict[str, float]:
        """Figures of the averaged model on the val split, each rank doing its share; the same on every rank.

        Args:
            windows: None is `logging.validation_windows`.
        """

    def score(self, figures: dict[str, float]) -> float:
        """What of `validate`'s figures the best checkpoint has least; infinite where they say nothing."""

    def exported(self, model: nn.Module) -> dict[str, nn.Module]:
        """The networks of an export, by their files."""

    def export(self, model: nn.Module, folder: Path) -> None:
        """Writes the averaged model as a checkpoint."""


_REHEARSED = 1  # window of a validation before the first step


def run_training(stage: Stage, config: RunConfig, settings: dict, world: World) -> None:
    """Trains until `optimisation.steps`, resuming where an earlier run stopped. Called on every rank.

    Ctrl-C and SIGTERM save the state before they end the run; a kill loses what came after the last checkpoint. However it
    ends, no process of it is left.

    Args:
        settings: by name, what of the config makes it this run and no other.

    Raises:
        ValueError: where `out` holds a run of another config or with other weights, or is in use; where data cannot be
            trained on, ranks differ, or the loss stops being finite.
        OSError: where the disk is full, or another rank or a loader process died.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, with the signal's number.
    """
    folder = RunFolder(Path(config.out), config.logging.keep)
    with folder.owned() if world.is_first else nullcontext(), folder.full_disk_explained(), loader_errors_explained():
        _Run(stage, config, settings, world, folder).train()


class _Run:
    """Made from the last checkpoint, or anew."""

    def __init__(self, stage: Stage, config: RunConfig, settings: dict, world: World, folder: RunFolder):
        self._stage, self._config, self._world, self._folder = stage, config, world, folder
        optimisation = config.optimisation
        self._share = BatchShare(optimisation.batch_size, optimisation.accumulate, world.rank, world.size)
        self._data: TrainingData = getattr(stage, "data", None) or PreparedData(config.data, stage)
        self._share.check_enough(len(self._data))
        self._data.check()
        self._tell_of_words()
        self._divides = optimisation.parallel == "fsdp" and world.is_shared
        # All of a model that is to be divided need not fit a GPU.
        self._model = stage.model.to("cpu" if self._divides else world.device).train()
        weights = {name: weights_digest(network) for name, network in stage.frozen_networks.items()}
        if getattr(config, "start_from", None) is not None:
            weights["start"] = weights_digest(self._model)
        self._state = TrainingState(self._model, optimisation, settings, weights, defaults(config))
        if world.is_first:
            self._look_for_room()
        if (saved := folder.load()) is not None:
            self._state.load(saved)
        if world.is_first:
            folder.begin(to_dict(config))
        world.check_same(
            settings=settings,
            step=self._state.step,
            data=(len(self._data), self._data.num_validation),
            weights=self._state.checksum(),
            other_weights=weights,
            exchange=(
                *(optimisation.accumulate, optimisation.compile),
                *(optimisation.parallel, optimisation.compress_gradients),
            ),
        )

    def train(self) -> None:
        config, state, world = self._config, self._state, self._world
        optimisation = config.optimisation
        self._gradients = StepGradients(self._stage.loss, self._model, optimisation, world)
        if self._divides:
            state.keep_parts(self._model, world.device)
        windows = self._data.windows(world)
        if state.step < optimisation.steps:  # what a validation would meet, it meets before the first step
            with world.lost_ranks_explained(), state.average.whole_model() as model:
                self._stage.validate(model, world, _REHEARSED)
        if optimisation.compile:
            self._stage.compile(self._model)
        loader = training_batches(windows, self._share, optimisation.seed, state.step, config.data.workers)
        self._log = TrainingLog(self._folder.path / "tensorboard", state.step, optimisation, world)
        self._log.note(
            f"{len(windows)} windows, {sum(p.numel() for p in state.parameters):,} trainable parameters, "
            f"{world.size} x {world.device.type}; run folder {self._folder.path}"
        )
        if (slow := slow_in(getattr(torch, optimisation.precision), world.device)) is not None:
            self._log.note(f"{slow}; --set optimisation.precision=float32 begins such a run")
        with _stop_signals() as received, self._log, loading(loader) as batches:
            while True:
                if world.any(bool(received)):
                    self._save()
                    world.any(False)  # torchrun kills all ranks when one has ended, the first one may still be writing
                    raise KeyboardInterrupt(*received[:1])
                if self._validation_is_due():
                    self._validate()
                if state.step >= optimisation.steps:
                    return
                self._step(batches)
                if state.step % config.logging.checkpoint_every == 0 or state.step == optimisation.steps:
                    self._save()

    def _tell_of_words(self) -> None:
        """Once, of those that the text encoder cannot tell apart."""
        if (text_encoder := self._stage.frozen_networks.get("text encoder")) is None:
            return
        if not self._world.is_first:
            text_encoder.warn = lambda _line: None
        text_encoder.check(self._data.instructions)

    def _step(self, batches: Iterator[Batch]) -> None:
        optimisation, state, world = self._config.optimisation, self._state, self._world
        with self._keeping_what_was_trained():
            parts = [next(batches).to(world.device) for _ in self._share.micro_batches]
        mean_weight = world.sum(sum(self._stage.mean_weight(part) for part in parts) / (len(parts) * world.size))
        noises = [
            WindowNoise(optimisation.seed, state.step, positions, world.device)
            for positions in self._share.micro_batches
        ]
        totals = self._gradients.compute(list(zip(parts, noises, strict=True)), mean_weight)
        norm = self._gradients.clip(optimisation.clip_norm)
        if not torch.isfinite(norm):
            raise ValueError(
                f"step {state.step}: loss {totals['loss'].item()} or its gradient is not finite; start anew under "
                "another `out` with a lower optimisation.learning_rate. The last checkpoint is whole"
            )
        state.update(optimisation.learning_rate * learning_rate_factor(state.step, optimisation))
        self._log.count_step()
        if state.step % self._config.logging.log_every == 0 or state.step == optimisation.steps:
            self._log.training(state.step, totals, norm)

    def _validation_is_due(self) -> bool:
        """At these steps, after their checkpoint; also where an earlier process was stopped between the two."""
        step, config = self._state.step, self._config
        at_this = step % config.logging.validate_every == 0 or step == config.optimisation.steps
        return at_this and step > self._state.validated

    def _validate(self) -> None:
        stage, state = self._stage, self._state
        with self._world.lost_ranks_explained(), state.average.whole_model() as model:
            with self._keeping_what_was_trained():
                figures = stage.validate(model, self._world)
            self._log.validation(state.step, figures)
            state.validated = state.step
            better = (score := stage.score(figures)) < state.best_score
            if better:
                state.best_score = score
            if self._world.is_first:
                if better:
                    self._folder.save_best(state.step, lambda path: stage.export(model, path))
                self._folder.note_validation(state.step, state.best_score)

    def _save(self) -> None:
        self._world.check_same(weights=self._state.checksum())  # ranks that drifted apart must not train on unnoticed
        self._write_checkpoint()

    def _write_checkpoint(self) -> None:
        """Called on every rank where the state is divided, else the first one alone may."""
        with self._world.lost_ranks_explained(), self._state.average.whole_model() as model:
            saved = self._state.to_dict(keep=self._world.is_first)
            if self._world.is_first:
                self._write(saved, model)

    def _write(self, saved: dict, model: nn.Module) -> None:
        def export(path: Path) -> None:
            self._log.flush()  # a resumed run does not log again what this checkpoint has behind it
            self._stage.export(model, path)

        self._folder.save(saved, export)

    @contextmanager
    def _keeping_what_was_trained(self) -> Iterator[None]:
        """Between two steps, where the state is whole: an error costs none of them, if only the state can be written.

        A state that is divided among ranks cannot: the others need not have met the error.
        """
        try:
            yield
        except BaseException:
            if self._world.is_first and self._state.step > 0 and not self._divides:
                with suppress(Exception):  # the error before it is the one to report
                    self._write_checkpoint()
                    self._log.note(f"step {self._state.step}: what was trained until here is saved")
            raise

    def _look_for_room(self) -> None:
        logging, steps = self._config.logging, self._config.optimisation.steps
        networks = self._stage.exported(self._model).values()
        self._folder.check_room(
            state=self._state.num_bytes,
            export=sum(tensor.nbytes for network in networks for tensor in network.state_dict().values()),
            checkpoints=math.ceil(steps / logging.checkpoint_every),
        )


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
