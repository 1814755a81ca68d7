"""What /diagnostics reports about the forecasts: how fast, how old, how many images were left out."""

import threading
from collections import Counter, deque
from dataclasses import dataclass

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

# What the node may be waiting for without anything being wrong.
AT_REST = ("configure", "activate", "~/enable", "a subscriber")


@dataclass(frozen=True)
class Published:
    """One published forecast; all in seconds."""

    at: float
    latency: float  # from the arrival of the newest image to publication
    compute_time: float
    image_age: float | None  # from the newest image's stamp to publication; None when it has no stamp


class Statistics:
    """Counts on one thread, reports on another. `now` is seconds of a clock that never jumps."""

    RATE_WINDOW = 10.0  # seconds

    def __init__(self, now: float):
        self._lock = threading.Lock()
        self._started = now
        self._published: deque[Published] = deque(maxlen=500)
        self._total = 0
        self._dropped: Counter[str] = Counter()

    def published(self, forecast: Published) -> None:
        with self._lock:
            self._published.append(forecast)
            self._total += 1

    def dropped(self, reason: str) -> None:
        with self._lock:
            self._dropped[reason] += 1

    def status(
        self,
        now: float,
        name: str,
        missing: list[str],
        waiting_for: str | None,
        left_out: dict[str, int],
        device_memory: int | None,
    ) -> DiagnosticStatus:
        """The node's DiagnosticStatus.

        Args:
            missing: cameras that are silent.
            waiting_for: what keeps the node from forecasting, if anything does.
            left_out: images that the pairing left out, by reason.
            device_memory: bytes that the model holds on the GPU; None without a model or a GPU.
        """
        with self._lock:
            published = list(self._published)
            total = self._total
            dropped = self._dropped + Counter(left_out)
        status = DiagnosticStatus(name=name, hardware_id="")
        # Nobody listening, or a node that was not activated, is as somebody wants it.
        at_rest = waiting_for in AT_REST
        status.level = DiagnosticStatus.WARN if (missing or waiting_for) and not at_rest else DiagnosticStatus.OK
        if waiting_for:
            status.message = f"waiting for {waiting_for}"
        elif missing:
            status.message = f"no images from {', '.join(missing)}"
        else:
            status.message = "forecasting"
        window = min(self.RATE_WINDOW, max(now - self._started, 1e-3))
        recent = [forecast for forecast in published if now - forecast.at <= window]
        values = {"forecasts": str(total), "rate (1/s)": f"{len(recent) / window:.2f}"}
        if published:
            latencies = [forecast.latency for forecast in published]
            values["latency, median (s)"] = f"{np.percentile(latencies, 50):.3f}"
            values["latency, 99th percentile (s)"] = f"{np.percentile(latencies, 99):.3f}"
            values["compute time, last (s)"] = f"{published[-1].compute_time:.3f}"
            if published[-1].image_age is not None:
                values["image age, last (s)"] = f"{published[-1].image_age:.3f}"
        if device_memory is not None:
            values["device memory (MiB)"] = f"{device_memory / 2**20:.0f}"
        for reason, count in sorted(dropped.items()):
            values[f"images dropped: {reason}"] = str(count)
        status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
        return status
