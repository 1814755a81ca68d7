"""What /diagnostics reports about the forecasts: how fast, how old, how many images were left out."""

import threading
from collections import Counter, deque
from dataclasses import dataclass, field

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

# What the node may be waiting for without anything being wrong.
AT_REST = ("configure", "activate", "~/enable", "a subscriber")


@dataclass(frozen=True)
class Standing:
    """How the node stands: what it waits for, and what became of the images that came."""

    waiting_for: str | None  # what keeps it from forecasting, if anything does
    silent_cameras: list[str] = field(default_factory=list)
    images_received: int = 0
    images_dropped: dict[str, int] = field(default_factory=dict)  # before they were looked at, by reason
    doing: str | None = None  # what it does instead of forecasting, as "loading checkpoint x"


@dataclass(frozen=True)
class Published:
    """One published forecast; times in seconds."""

    at: float
    images: int  # that it was made from
    latency: float  # from the arrival of the newest image to publication
    compute_time: float
    image_age: float | None  # from the newest image's stamp to publication; None when it has no stamp
    over_budget: bool = False  # whether the latency is more than was allowed


class Statistics:
    """Counts on one thread, reports on another. `now` is seconds of a clock that never jumps."""

    RATE_WINDOW = 10.0  # seconds

    def __init__(self, now: float):
        self._lock = threading.Lock()
        self._started = now
        self._published: deque[Published] = deque(maxlen=500)
        self._times: deque[float] = deque()  # of the forecasts of the last RATE_WINDOW
        self._total = 0
        self._over_budget = 0
        self._received = 0
        self._images = 0
        self._dropped: Counter[str] = Counter()
        self._not_scored: Counter[str] = Counter()

    def published(self, forecast: Published) -> None:
        with self._lock:
            self._published.append(forecast)
            self._times.append(forecast.at)
            while forecast.at - self._times[0] > self.RATE_WINDOW:
                self._times.popleft()
            self._total += 1
            self._over_budget += forecast.over_budget
            self._images += forecast.images

    def dropped(self, reason: str, images: int = 1) -> None:
        with self._lock:
            self._dropped[reason] += images

    def keep(self, last: Standing) -> None:
        """Keeps the counts of a forecast thread that is given up, so that they go on counting with the next."""
        with self._lock:
            self._received += last.images_received
            self._dropped.update(last.images_dropped)

    def keep_not_scored(self, given_up: dict[str, int]) -> None:
        """Keeps the counts of an observer that is given up."""
        with self._lock:
            self._not_scored.update(given_up)

    def status(
        self, now: float, name: str, standing: Standing, device_memory: int | None, not_scored: dict[str, int]
    ) -> DiagnosticStatus:
        """The node's DiagnosticStatus.

        Args:
            not_scored: forecasts that the present observer has given up, by reason.
            device_memory: bytes that the model holds on the GPU; None without a model or a GPU.
        """
        with self._lock:
            published, times = list(self._published), list(self._times)
            total, over_budget = self._total, self._over_budget
            dropped = self._dropped + Counter(standing.images_dropped)
            all_not_scored = self._not_scored + Counter(not_scored)
            images = self._images
            received = self._received + standing.images_received
        status = DiagnosticStatus(name=name, hardware_id="")
        # Nobody listening, or a node that was not activated, is as somebody wants it.
        trouble = standing.silent_cameras or standing.waiting_for
        at_rest = standing.waiting_for in AT_REST
        status.level = DiagnosticStatus.WARN if trouble and not at_rest else DiagnosticStatus.OK
        if standing.doing:
            status.message = standing.doing
        elif standing.waiting_for:
            status.message = f"waiting for {standing.waiting_for}"
        elif standing.silent_cameras:
            status.message = f"no images from {', '.join(standing.silent_cameras)}"
        else:
            status.message = "forecasting"
        window = min(self.RATE_WINDOW, max(now - self._started, 1e-3))
        recent = sum(now - at <= window for at in times)
        values = {"forecasts": str(total), "rate (1/s)": f"{recent / window:.2f}"}
        if published:
            latencies = [forecast.latency for forecast in published]
            values["latency, median (s)"] = f"{np.percentile(latencies, 50):.3f}"
            values["latency, 99th percentile (s)"] = f"{np.percentile(latencies, 99):.3f}"
            values["compute time, last (s)"] = f"{published[-1].compute_time:.3f}"
            if published[-1].image_age is not None:
                values["image age, last (s)"] = f"{published[-1].image_age:.3f}"
        if over_budget:
            values["forecasts over the latency budget"] = str(over_budget)
        if device_memory is not None:
            values["device memory (MiB)"] = f"{device_memory / 2**20:.0f}"
        values["images received"] = str(received)
        values["images forecast"] = str(images)
        for reason, count in sorted(dropped.items()):
            values[f"images dropped: {reason}"] = str(count)
        for reason, count in sorted(all_not_scored.items()):
            values[f"forecasts not scored: {reason}"] = str(count)
        status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
        return status
