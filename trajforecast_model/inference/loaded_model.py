"""What every loaded forecaster has, whatever it forecasts from: its place and numbers, its deadlines, its release."""

from collections.abc import Callable
from typing import Protocol

import torch

from trajforecast_model.inference import budget
from trajforecast_model.inference.budget import Effort
from trajforecast_model.inference.effort import Deadlines, checked_effort
from trajforecast_model.networks.text_encoder import warn_on_stderr
from trajforecast_model.runtime.device import checked_device, slow_in

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class _Config(Protocol):
    steps: int
    solver: str


class _Sampler(Protocol):
    before_step: Callable[[], None] | None

    def compile(self, mode: str, backend: str | Callable) -> None: ...


class LoadedModel:
    """Raises ValueError for a dtype or device that there is not."""

    warn: Callable[[str], None] = staticmethod(warn_on_stderr)
    config: _Config
    _sampler: _Sampler | None

    def __init__(self, model_id: str, device: str | torch.device, dtype: str):
        if dtype not in DTYPES:
            raise ValueError(f"dtype: got {dtype!r}, expected one of {', '.join(DTYPES)}")
        self.model_id = model_id
        self.device = checked_device(device)
        self.dtype = DTYPES[dtype]
        if (slow := slow_in(self.dtype, self.device)) is not None:
            self.warn(f"dtype bfloat16: {slow}")
        self._deadlines = Deadlines()

    def compile(self, mode: str = "default", backend: str | Callable = "inductor") -> None:
        """Has torch.compile fuse the solver's network and the decoder, which pays on a GPU.

        The first forecast of each number of views and samples then waits for the compiler (minutes), so that a deadline
        takes solver steps away and no samples. What it made is kept in TORCHINDUCTOR_CACHE_DIR for the next start; a CPU
        needs a C++ compiler.

        Args:
            mode, backend: see `compilation.compiled`.

        Raises:
            ValueError: for a mode that there is not.
        """
        self._sampler.compile(mode, backend)
        self._deadlines.compiled()

    def calibrate(self, num_views: int, k: int = 8, steps: int | None = None, solver: str | None = None) -> None:
        """Measures what forecasts cost on this machine, for `predict` with a deadline: nine of nothing in particular.

        Args:
            k, steps: the most that will be asked for. Compiled networks are measured, by five forecasts, for this k alone.
        """
        self._deadlines.measure(
            num_views, self._effort(steps, k), lambda effort: self._forecast_nothing(num_views, effort, solver)
        )

    def device_memory(self) -> int | None:
        """Bytes that PyTorch holds on the GPU; None on a CPU, where they are the process's."""
        return torch.cuda.memory_allocated(self.device) if self.device.type == "cuda" else None

    def release(self) -> None:
        """Gives the networks' memory back; nothing can be forecast afterwards."""
        self._sampler = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    @property
    def is_compiled(self) -> bool:
        return self._deadlines.is_compiled

    @property
    def before_step(self) -> Callable[[], None] | None:
        """Called before every solver step: what it raises ends the forecast, and it may make another one meanwhile."""
        return self._sampler.before_step

    @before_step.setter
    def before_step(self, call: Callable[[], None] | None) -> None:
        self._sampler.before_step = call

    def _forecast_nothing(self, num_views: int, effort: Effort, solver: str | None) -> None:
        """A forecast of what has this model's shapes."""
        raise NotImplementedError

    def _encode_instruction(self, instruction: str | None) -> None:
        """Once an instruction, so that it is not among what a forecast costs."""
        raise NotImplementedError

    def _effort(self, steps: int | None, k: int) -> Effort:
        return checked_effort(self.config.steps if steps is None else steps, k)

    def _effort_within(
        self,
        deadline_ms: float,
        started: float,
        wanted: Effort,
        num_views: int,
        instruction: str | None,
        solver: str | None,
    ) -> Effort:
        """The most of `wanted` that fits into the time since `started`."""
        if not deadline_ms > 0:
            raise ValueError(f"deadline_ms: got {deadline_ms!r}, expected milliseconds above 0")
        if (solver or self.config.solver) == "dopri5":
            raise ValueError("deadline_ms: dopri5 chooses its own steps and keeps no deadline; take another solver")
        self._encode_instruction(instruction)
        if not self._deadlines.are_known(num_views, wanted.k):
            self.calibrate(num_views, wanted.k, wanted.steps, solver)
        return self._deadlines.choose(num_views, wanted, deadline_ms / 1000 - (budget.clock() - started))

    def _check_finite(self, is_finite: bool) -> None:
        """Raises ValueError for a forecast that is not."""
        if not is_finite:
            raise ValueError(
                f"the forecast of model {self.model_id!r} has values that are not finite; its weights are damaged, or "
                "overflow in this dtype: try float32"
            )
