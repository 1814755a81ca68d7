"""What /diagnostics reports: whether forecasts come and of which cameras, how fast, how old, how many images were left out."""

import threading
from collections import Counter, deque
from dataclasses import dataclass, field

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

# What the node may be waiting for without anything being wrong.
AT_REST = ("configure", "activate", "~/enable", "a subscriber")

# A forecast that takes so long, and three times as long as they do, holds the images that come meanwhile up.
HELD_UP_SECONDS = 3.0
# As long without a forecast, and no reason known, is a reason to say so.
NOTHING_SECONDS = 5.0


@dataclass(frozen=True)
class Standing:
    """How the node stands: what it waits for, and what became of the images that came."""

    waiting_for: str | None  # what keeps it from forecasting, if anything does
    obstacle: str = ""  # what keeps it from using any image
    left_out: dict[str, str] = field(
        default_factory=dict
    )  # why a camera's images are not used, by view; "" if they are
    seconds_since_used: dict[str, float] = field(default_factory=dict)  # by view; without those that never were
    seconds_without: float = 0.0  # a forecast, while there should have been some
    seconds_between: float = 0.0  # forecasts, as max_rate has it
    working_on: str = ""  # what the thread is at, if it does not wait
    working_for: float = 0.0  # seconds, since the last forecast at most
    images_received: int = 0
    images_waiting: int = 0  # for a partner, or for the forecast that is under way to end
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
        latencies = [forecast.latency for forecast in published]
        median_latency = float(np.median(latencies)) if latencies else 0.0
        level, message = _summary(standing, median_latency)
        status = DiagnosticStatus(name=name, hardware_id="", level=level, message=message)
        window = min(self.RATE_WINDOW, max(now - self._started, 1e-3))
        recent = sum(now - at <= window for at in times)
        values = {"forecasts": str(total), "rate (1/s)": f"{recent / window:.2f}"}
        if published:
            values["latency, median (s)"] = f"{median_latency:.3f}"
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
        values["images waiting"] = str(standing.images_waiting)
        for reason, count in sorted(dropped.items()):
            values[f"images dropped: {reason}"] = str(count)
        for reason, count in sorted(all_not_scored.items()):
            values[f"forecasts not scored: {reason}"] = str(count)
        for view, why in standing.left_out.items():
            values[f"camera {view}"] = _camera(why, standing.seconds_since_used.get(view))
        status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
        return status


def _summary(standing: Standing, median_latency: float) -> tuple[bytes, str]:
    """The level and the message: what is forecast, or why nothing is."""
    left_out = {view: why for view, why in standing.left_out.items() if why}
    used = [view for view in standing.left_out if view not in left_out]
    reasons = "; ".join(f"{view}: {why}" for view, why in left_out.items())
    if standing.doing:
        return DiagnosticStatus.OK, standing.doing
    if standing.waiting_for:
        # Nobody listening, or a node that was not activated, is as somebody wants it.
        at_rest = standing.waiting_for in AT_REST
        return DiagnosticStatus.OK if at_rest else DiagnosticStatus.WARN, f"waiting for {standing.waiting_for}"
    if standing.working_for > max(HELD_UP_SECONDS, 3 * median_latency):
        return DiagnosticStatus.STALE, (
            f"{standing.working_on} has held the images up for {standing.working_for:.1f} s; nothing new is forecast"
        )
    if standing.obstacle:
        return DiagnosticStatus.ERROR, standing.obstacle
    if left_out and not used:
        return DiagnosticStatus.ERROR, f"nothing is forecast; {reasons}"
    if standing.seconds_without > max(NOTHING_SECONDS, 3 * median_latency) + standing.seconds_between:
        return DiagnosticStatus.ERROR, f"nothing was forecast for {standing.seconds_without:.1f} s, though images come"
    if left_out:
        return DiagnosticStatus.WARN, f"forecasting {' and '.join(used)} alone; {reasons}"
    return DiagnosticStatus.OK, f"forecasting {' and '.join(used)}".strip()


def _camera(left_out: str, seconds_since_used: float | None) -> str:
    last = "never used" if seconds_since_used is None else f"last used {seconds_since_used:.1f} s ago"
    return f"{left_out}; {last}" if left_out else last
