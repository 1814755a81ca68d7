"""Measures what the node adds to the networks: from the image callback to the published messages, stage by stage.

    python -m trajforecast_ros.path_profile --forecasts 50
    python -m trajforecast_ros.path_profile --forecasts 200 --latency-budget 0.3   # how often it is kept, too

The node runs in this process, where its stages are timed. The cameras, and a subscriber of both forecast messages, are a
process of their own, so images and forecasts cross DDS; the next pair of images comes when the forecast has arrived. Both
processes read one clock, so that a message's arrival counts from the image callback too.
"""

import argparse
import os
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable

import numpy as np

from trajforecast_ros.domains import reserve_domain
from trajforecast_ros.resources import dds_settings

WARM_UP = 3  # forecasts that do not count
RESEND_SECONDS = 5  # without a forecast, after which its images count as lost
PEER_SECONDS = 300  # without one, as on a busy machine that is still loading, after which the other process gives up
NETWORKS = "networks"
PUBLISHING_TRACKS = "publishing PredictedTracks"
SUMMARISING = "mean, medoid, spread, making TrackSummary"
PUBLISHING_SUMMARY = "publishing TrackSummary"
TO_TRACKS = "image callback to PredictedTracks published"
TO_ALL = "image callback to both published"
TO_SUBSCRIBER = "image callback to PredictedTracks at its subscriber"


class StageTimer:
    """Times functions by stage, in seconds; what a timed function spends in another one counts for that one alone."""

    def __init__(self):
        self.forecasts: list[dict[str, float]] = []
        self._seconds: dict[str, float] = defaultdict(float)
        self._tracks_published = 0.0
        self.image_callbacks: list[float] = []  # time.monotonic() of each forecast's
        self._running = threading.local()

    def time(self, owner: object, name: str, stage: str | Callable[..., str]) -> None:
        """Replaces `owner.name` by the same function, timed.

        Args:
            stage: its name, or what gives the name for the function's arguments.
        """
        function = getattr(owner, name)

        def timed(*args, **kwargs):
            inner_before = getattr(self._running, "inner", 0.0)
            self._running.inner = 0.0
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                took = time.perf_counter() - started
                called = stage if isinstance(stage, str) else stage(*args)
                self._seconds[called] += took - self._running.inner
                self._running.inner = inner_before + took
                if called == PUBLISHING_TRACKS:
                    self._tracks_published = time.monotonic()

        setattr(owner, name, timed)

    def on_published(self, publish: Callable) -> Callable:
        """Wraps what is told of every published forecast: ends the forecast's account."""

        def published(statistics, forecast) -> None:
            stages, self._seconds = dict(self._seconds), defaultdict(float)
            stages[TO_ALL] = forecast.latency
            stages[TO_TRACKS] = forecast.latency - (forecast.at - self._tracks_published)
            self.forecasts.append(stages)
            self.image_callbacks.append(forecast.at - forecast.latency)
            publish(statistics, forecast)

        return published


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m trajforecast_ros.path_profile", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--checkpoint", default="libero_object_tiny", help="shipped name, folder or cached hub id")
    parser.add_argument("--samples", type=int, default=8, help="k, futures sampled in a forecast")
    parser.add_argument("--forecasts", type=int, default=50)
    parser.add_argument("--image-size", type=int, nargs=2, default=[480, 640], metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--latency-budget", type=float, default=0.0, metavar="SECONDS", help="the node's; 0 is none")
    parser.add_argument("--as-peer", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.forecasts < 1 or args.samples < 1 or min(args.image_size) < 1:
        parser.error("--forecasts, --samples and --image-size are at least 1")
    if args.as_peer:
        return _cameras_and_subscriber(args.forecasts + WARM_UP, args.image_size)

    os.environ.update(dds_settings(), ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST")
    os.environ["ROS_DOMAIN_ID"] = str(reserve_domain())
    size = [str(side) for side in args.image_size]
    this_module = [sys.executable, "-m", "trajforecast_ros.path_profile"]
    cameras = [*this_module, "--as-peer", f"--forecasts={args.forecasts}", "--image-size", *size]
    peer = subprocess.Popen(cameras, stdout=subprocess.PIPE, text=True)
    try:
        settings = {
            "checkpoint": args.checkpoint,
            "num_samples": args.samples,
            "latency_budget": args.latency_budget,
            "instruction": "pick up the milk and place it in the basket",
        }
        forecasts, image_callbacks, efforts = _profile_node(settings, lambda: peer.poll() is not None)
        arrivals = [float(line) for line in peer.stdout]
    except (ValueError, OSError) as error:
        print(f"path_profile: error: {error}", file=sys.stderr)
        return 2
    finally:
        peer.kill()
        peer.wait()
    came = min(len(forecasts), len(arrivals))
    if came < args.forecasts + WARM_UP:
        print(f"path_profile: only {came} forecasts were published and received", file=sys.stderr)
        return 1
    for forecast, begun, arrived in zip(
        forecasts, image_callbacks, arrivals, strict=False
    ):  # the node may make one more
        forecast[TO_SUBSCRIBER] = arrived - begun
    print(table(forecasts[WARM_UP:]))
    if args.latency_budget:
        print(within_budget([forecast[TO_ALL] for forecast in forecasts[WARM_UP:]], efforts, args.latency_budget))
    return 0


def table(forecasts: list[dict[str, float]]) -> str:
    """Markdown: median and 99th percentile of every stage, in milliseconds.

    Args:
        forecasts: seconds by stage, with the whole ways as TO_TRACKS, TO_SUBSCRIBER and TO_ALL.
    """
    seconds = {stage: np.array([forecast.get(stage, 0.0) for forecast in forecasts]) for stage in forecasts[0]}
    networks, to_tracks, to_subscriber, to_all = (
        seconds.pop(name) for name in (NETWORKS, TO_TRACKS, TO_SUBSCRIBER, TO_ALL)
    )
    after = {stage: seconds.pop(stage) for stage in (SUMMARISING, PUBLISHING_SUMMARY) if stage in seconds}
    rows = {
        **seconds,
        "waking up, locks, the rest": to_tracks - networks - sum(seconds.values()),
        "**PredictedTracks published: all but the networks**": to_tracks - networks,
        "from there to its subscriber": to_subscriber - to_tracks,
        **after,
        "locks, the rest": to_all - to_tracks - sum(after.values()),
        "**both published: all but the networks**": to_all - networks,
        "networks": networks,
        TO_SUBSCRIBER: to_subscriber,
        TO_ALL: to_all,
    }
    lines = ["| stage | p50, ms | p99, ms |", "|---|---|---|"]
    for stage, values in rows.items():
        median, slow = np.percentile(values, [50, 99]) * 1e3
        lines.append(f"| {stage} | {median:.2f} | {slow:.2f} |")
    return "\n".join(lines)


def within_budget(latencies: list[float], efforts: list[tuple[int, int]], budget: float) -> str:
    """How many forecasts came in time, and what they were made with.

    Args:
        latencies: seconds.
        efforts: solver steps and samples of at least as many forecasts, the last ones of which count.
        budget: seconds.
    """
    kept = sum(latency <= budget for latency in latencies)
    counts = Counter(efforts[-len(latencies) :]).most_common()
    made_with = ", ".join(f"{steps} x {samples} ({count})" for (steps, samples), count in counts)
    return f"{kept} of {len(latencies)} forecasts within {budget:g} s; solver steps x samples: {made_with}"


def _profile_node(
    settings: dict[str, object], finished: Callable[[], bool]
) -> tuple[list[dict[str, float]], list[float], list[tuple[int, int]]]:
    """Of every forecast the seconds by stage and when its images came; of those and the warm-up before, its effort."""
    # After the environment is set: rclpy reads it when it is imported.
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.lifecycle import LifecyclePublisher
    from rclpy.parameter import Parameter

    from trajforecast_model import forecaster
    from trajforecast_model.inference import encoding
    from trajforecast_ros.forecast import outputs
    from trajforecast_ros.forecast import thread as forecasting
    from trajforecast_ros.forecast.forecast_node import ForecastNode
    from trajforecast_ros.forecast.statistics import Statistics

    timer = StageTimer()
    timer.time(forecasting, "to_rgb", "images to RGB")
    timer.time(forecasting, "fit", "fitting and bringing back")
    timer.time(forecasting, "to_source_pixels", "fitting and bringing back")
    timer.time(encoding, "resize_images", "resizing")
    for name in ("encode_text", "encode_images", "sample_latents", "decode_latents"):
        timer.time(forecaster.Forecaster, name, NETWORKS)
    efforts, predict = [], forecaster.Forecaster.predict

    def noted(*args, **kwargs) -> forecaster.Forecast:
        forecast = predict(*args, **kwargs)
        efforts.append((forecast.steps, forecast.num_samples))
        return forecast

    forecaster.Forecaster.predict = noted
    timer.time(forecaster.Forecaster, "predict", "pixels, the rest of predict")
    timer.time(outputs, "tracks_message", "making PredictedTracks")
    timer.time(outputs, "summary_message", SUMMARISING)
    timer.time(LifecyclePublisher, "publish", lambda _, message: f"publishing {type(message).__name__}")
    Statistics.published = timer.on_published(Statistics.published)

    rclpy.init()
    node = ForecastNode(parameter_overrides=[Parameter(name, value=value) for name, value in settings.items()])
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        node.start_up()
        while not finished():
            executor.spin_once(timeout_sec=0.1)
    finally:
        node.close()
        rclpy.try_shutdown()
    return timer.forecasts, timer.image_callbacks, efforts


def _cameras_and_subscriber(forecasts: int, image_size: list[int]) -> int:
    import rclpy
    from rclpy.node import Node
    from sensor_msgs.msg import Image
    from std_msgs.msg import Header
    from trajforecast_msgs.msg import PredictedTracks, TrackSummary

    from trajforecast_ros.images import to_message
    from trajforecast_ros.memory import keep_freed_memory
    from trajforecast_ros.qos import EVERY_IMAGE, RESULT

    keep_freed_memory()
    rclpy.init()
    node = Node("path_profile_peer")
    cameras = [node.create_publisher(Image, f"{view}/image_raw", EVERY_IMAGE) for view in ("side", "effector")]
    arrived = {"tracks": 0, "summary": 0}

    def on_tracks(_: PredictedTracks) -> None:
        print(time.monotonic())
        arrived["tracks"] += 1

    def on_summary(_: TrackSummary) -> None:
        arrived["summary"] += 1

    node.create_subscription(PredictedTracks, "predicted_tracks", on_tracks, RESULT)
    node.create_subscription(TrackSummary, "predicted_tracks/summary", on_summary, RESULT)
    picture = np.random.default_rng(0).integers(0, 256, (*image_size, 3), dtype=np.uint8)
    answered = -1
    resend = give_up = time.monotonic() + PEER_SECONDS
    while min(arrived.values()) < forecasts and time.monotonic() < give_up:
        ready = all(camera.get_subscription_count() for camera in cameras) and len(
            node.get_publishers_info_by_topic("predicted_tracks")
        )
        now = time.monotonic()
        came = min(arrived.values()) > answered
        if ready and (came or now > resend):
            if came:
                give_up = now + PEER_SECONDS
            header = Header(stamp=node.get_clock().now().to_msg())
            for camera in cameras:
                camera.publish(to_message(picture, header))
            answered, resend = min(arrived.values()), now + RESEND_SECONDS
        rclpy.spin_once(node, timeout_sec=0.1)
    node.destroy_node()
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
