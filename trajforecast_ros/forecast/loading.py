"""Loading a checkpoint on a thread of its own: nothing waits for it that must go on, and it can be given up.

What cannot be cut short (reading weights, compiling) then goes on in the background, for nobody.
"""

import threading
import time
from collections.abc import Callable

from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.task import Future

from trajforecast_model.forecaster import Forecaster
from trajforecast_model.runtime.threads import Abandonable
from trajforecast_ros.forecast.parameters import ForecastParameters


class GivenUp(Exception):
    """Nobody wants the result any more."""


class Loading:
    """Begins at once.

    Args:
        wake_executor: makes the executor look at futures that were set here.
    """

    def __init__(self, wanted: ForecastParameters, logger: RcutilsLogger, wake_executor: Callable[[], None]):
        self.doing = f"loading checkpoint {wanted.checkpoint} on {wanted.device}"
        self.ended = Future()  # set when `forecaster` has its answer
        self._result: Forecaster | Exception | None = None
        self._wanted = wanted
        self._logger = logger
        self._wake_executor = wake_executor
        self._lock = threading.Lock()
        self._given_up = False
        # A thread that is gone afterwards: two that have run PyTorch make it slow (runtime/threads.py).
        self._thread = Abandonable(self._work, name="loading")
        self._thread.start()

    def wait(self) -> None:
        self._thread.join()

    def forecaster(self) -> Forecaster:
        """What was loaded, warm. Raises GivenUp when it was given up, and whatever loading raised."""
        if self._given_up:
            raise GivenUp("loading was given up")
        if isinstance(self._result, Exception):
            raise self._result
        return self._result

    def give_up(self) -> None:
        """Ends at once; the thread does before its next solver step, or when it has read or compiled what it is at."""
        with self._lock:
            self._given_up = True
            if not self.ended.done():
                self.ended.set_result(None)

    def _work(self) -> None:
        try:
            result = self._load()
        except Exception as error:
            result = error
        with self._lock:
            if self._given_up:
                return
            self._result = result
            self.ended.set_result(None)
        self._wake_executor()

    def _load(self) -> Forecaster:
        started = time.monotonic()
        self._logger.info(self.doing)
        forecaster = Forecaster.from_pretrained(
            self._wanted.checkpoint, device=self._wanted.device, dtype=self._wanted.dtype
        )
        forecaster.warn = self._logger.warning
        check_budget(self._wanted, forecaster)
        check_history(self._wanted, forecaster)
        forecaster.before_step = self._go_on
        self._warm_up(forecaster)
        forecaster.before_step = None
        self._go_on()
        self._logger.info(f"{forecaster.model_id} is ready after {time.monotonic() - started:.1f} s")
        return forecaster

    def _warm_up(self, forecaster: Forecaster) -> None:
        """Makes the first forecasts, which are slow (allocation, kernel choice, compiling), before anybody waits for one."""
        wanted = self._wanted
        steps = wanted.solver_steps or None
        counts = range(1, len(wanted.views) + 1)  # of cameras: all but one may fall silent
        forecasts = [len(wanted.views)]
        self.doing = "warming up the networks"
        if wanted.compile:
            self._go_on()
            self.doing = "compiling the networks"
            self._logger.info(self.doing)
            # Not as CUDA graphs: PyTorch keeps those to one thread (its issue 123177), and this one is gone afterwards.
            forecaster.compile()
            # A number of cameras is compiled for at its first forecast, and may be once more at its second.
            forecasts = [count for count in counts for _ in range(2)]
        for count in forecasts:
            self._go_on()
            forecaster.warm_up(wanted.views[:count], wanted.num_samples, steps)
        if wanted.latency_budget:
            self.doing = "measuring what forecasts cost"
            for count in counts:
                forecaster.calibrate(count, wanted.num_samples, steps)

    def _go_on(self) -> None:
        if self._given_up:
            raise GivenUp


def check_budget(settings: ForecastParameters, forecaster: Forecaster) -> None:
    """Raises ValueError for a latency budget that the checkpoint's solver does not keep."""
    if settings.latency_budget and forecaster.config.solver == "dopri5":
        raise ValueError(
            f"parameter latency_budget is {settings.latency_budget}, but the solver of {forecaster.model_id}, dopri5, "
            "chooses its own steps and keeps no budget; set it to 0"
        )


def check_history(settings: ForecastParameters, forecaster: Forecaster) -> None:
    """Raises ValueError for more frames of the past than the checkpoint takes, or fewer than it needs."""
    most = forecaster.history_frames
    if forecaster.needs_history and settings.history_frames not in (-1, most):
        raise ValueError(
            f"parameter history_frames is {settings.history_frames}, but the checkpoint {forecaster.model_id} forecasts from "
            f"the past alone and needs all {most}; set it to -1"
        )
    if settings.history_frames > most:
        takes = f"takes {most} at most; set it to one of -1 to {most}" if most else "takes no past; set it to -1 or 0"
        raise ValueError(
            f"parameter history_frames is {settings.history_frames}, but the checkpoint {forecaster.model_id} {takes}"
        )
