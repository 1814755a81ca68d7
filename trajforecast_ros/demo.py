"""`make demo`: a shipped episode through real ROS 2 nodes, and pictures and numbers of what they forecast.

Three processes talk over DDS: replay_node is the two cameras, forecast_node the model, record_node writes down what
both say. Afterwards the forecasts are drawn, and compared with what then really happened in the episode.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from trajforecast_model.data.episode import Episode
from trajforecast_model.files.atomic import write_atomically
from trajforecast_model.viewing.page import page_of_scenes
from trajforecast_model.viewing.scenes import Scene, SeenView
from trajforecast_ros.domains import reserve_domain
from trajforecast_ros.processes import NodeFailed, Nodes
from trajforecast_ros.recording.hindsight import ViewErrors, score
from trajforecast_ros.recording.recording import RecordedForecast, Recording
from trajforecast_ros.resources import shipped_episode
from trajforecast_ros.viewing import film

START_SECONDS = 300  # on a busy machine; a node that ends is noticed at once
LAST_FORECAST_SECONDS = 300
QUIET_SECONDS = 10  # without a new forecast, after which none of the last images is expected any more
POLL_SECONDS = 0.1
MOMENTS = 8  # of the page, at most


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m trajforecast_ros.demo", description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", default="libero_object_tiny", help="shipped name, folder or cached hub id")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--samples", type=int, default=8, help="k, futures sampled in a forecast")
    parser.add_argument(
        "--speed",
        type=float,
        default=0.3,
        help="of the replay; below 1 so that a CPU forecasts often enough for a film",
    )
    parser.add_argument("--episode", type=Path, default=None, help="instead of the shipped one")
    parser.add_argument("--out", type=Path, default=Path("out"))
    args = parser.parse_args(arguments)
    try:
        episode_path = args.episode or shipped_episode()
        episode = Episode.load(episode_path)
        args.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="trajforecast_demo_") as folder:
            recording = Recording(Path(folder) / "bag")
            start_stamp = time.time_ns()
            _run_nodes(args, episode, episode_path, recording, start_stamp)
            recording.update()
            forecasts = [recording.forecast(stamp) for stamp in recording.forecast_stamps()]
            _draw(recording, forecasts, episode, args.out)
            scenes = _scenes(recording, forecasts, episode, start_stamp)
            write_atomically(args.out / "forecast.html", page_of_scenes(episode.instruction, scenes))
            print(_table(forecasts, score(episode, start_stamp, forecasts), args.speed))
    except (ValueError, OSError) as error:
        print(f"demo: error: {error}", file=sys.stderr)
        return 2
    except NodeFailed as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return 130
    print(
        f"wrote {', '.join(str(args.out / f'forecast.{kind}') for kind in ('mp4', 'png'))} and {args.out / 'forecast.html'}"
    )
    return 0


def _run_nodes(args, episode: Episode, episode_path: Path, recording: Recording, start_stamp: int) -> None:
    frames = min(len(pictures) for pictures in episode.frames.values())  # as many as replay_node plays
    view = next(iter(episode.frames))
    last_stamp = start_stamp + round((frames - 1) * episode.dt * 1e9)
    print(f'episode "{episode.instruction}": {frames} frames; loading the checkpoint in forecast_node')
    with Nodes(recording.folder.parent, reserve_domain()) as nodes:
        nodes.start("record_node", {"output": recording.folder})
        nodes.start(
            "forecast_node",
            {
                "checkpoint": args.checkpoint,
                "device": args.device,
                "num_samples": args.samples,
                # Nobody should be late, and a slow machine's camera is not a missing one.
                "camera_timeout": 10.0,
            },
        )
        nodes.start(
            "replay_node",
            {
                "episode": episode_path.resolve(),
                "loop": False,
                "speed": args.speed,
                "start_stamp": start_stamp,
                # The forecast node, which subscribes when its checkpoint is loaded, and the recorder.
                "wait_for_subscribers": 2,
            },
        )

        def images() -> list[int]:
            recording.update()
            return recording.image_stamps(view)

        _wait(nodes, images, START_SECONDS, "the replay did not start", others_run=True)
        with _progress(frames, "playing") as bar:

            def finished() -> bool:
                bar.update(len(images()) - bar.n)
                bar.set_postfix_str(f"{len(recording.forecast_stamps())} forecasts", refresh=False)
                return nodes.ended("replay_node")

            _wait(nodes, finished, START_SECONDS + frames * episode.dt / args.speed, "the replay did not end")
            wait_for_last_forecast(nodes, recording, last_stamp)
            finished()


def wait_for_last_forecast(nodes: Nodes, recording: Recording, last_stamp: int) -> None:
    """Waits for the forecast of the last images, or where one of them got lost on its way until no more forecasts come.

    Raises:
        NodeFailed: when there is no forecast at all.
    """
    newest, since = [], time.monotonic()

    def no_more_to_come() -> bool:
        nonlocal newest, since
        recording.update()
        before, newest = newest, recording.forecast_stamps()[-1:]
        if newest != before:
            since = time.monotonic()
        return newest == [last_stamp] or (newest != [] and time.monotonic() - since >= QUIET_SECONDS)

    _wait(nodes, no_more_to_come, LAST_FORECAST_SECONDS, "there is no forecast")


def _wait(nodes: Nodes, condition, seconds: float, complaint: str, others_run: bool = False) -> None:
    """Polls the condition, and that the nodes are alive."""
    deadline = time.monotonic() + seconds
    while not condition():
        for name in ("forecast_node", "record_node", *(["replay_node"] if others_run else [])):
            nodes.check_running(name)
        if time.monotonic() > deadline:
            raise NodeFailed(
                f"{complaint} within {seconds:.0f} s; forecast_node said:\n{nodes.log_tail('forecast_node')}"
            )
        time.sleep(POLL_SECONDS)


def _draw(recording: Recording, forecasts: list[RecordedForecast], episode: Episode, out: Path) -> None:
    steps = forecasts[0].mean_t.shape[1]
    shots = film.shots(recording, forecasts[0].views[0], (steps - 1) * episode.dt)
    busiest = max(forecasts, key=_motion)
    film.write_picture(film.draw_shot(recording, film.Shot(busiest.stamp, busiest.stamp)), out / "forecast.png")
    with _progress(len(shots), "drawing") as bar:
        film.write_film(recording, shots, 1 / episode.dt, out / "forecast.mp4", bar.update)


def _scenes(recording: Recording, forecasts: list[RecordedForecast], episode: Episode, start_stamp: int) -> list[Scene]:
    """Some of the forecasts over the images that they were made from, with what really happened where it is known."""
    scenes = []
    for number in np.unique(np.linspace(0, len(forecasts) - 1, MOMENTS).round().astype(int)):
        forecast = forecasts[number]
        start, steps = round((forecast.stamp - start_stamp) / 1e9 / episode.dt), forecast.tracks.shape[2]
        views = []
        for view, tracks in zip(forecast.views, forecast.tracks, strict=True):
            is_known = start + steps <= len(episode.frames[view])
            truth = episode.truth(view, start)[0][:steps] if is_known else None
            views.append(SeenView(view, recording.image(view, forecast.stamp), {forecast.model_id: tracks}, truth))
        scenes.append(Scene(f"{start * episode.dt:.2f} s", forecast.instruction, episode.dt, tuple(views)))
    return scenes


def _progress(frames: int, doing: str) -> tqdm:
    # In a log, where each update is a new line, a few are enough.
    seconds = 0.1 if sys.stderr.isatty() else 10
    form = "{l_bar}{bar}| {n}/{total} frames{postfix}"
    return tqdm(total=frames, desc=doing, bar_format=form, mininterval=seconds, maxinterval=seconds)


def _motion(forecast: RecordedForecast) -> float:
    """How far the mean tracks go, over all views."""
    return float(np.linalg.norm(forecast.mean_t[:, -1] - forecast.mean_t[:, 0], axis=-1).mean())


def _table(forecasts: list[RecordedForecast], errors: list[ViewErrors], speed: float) -> str:
    _, samples, steps, rows, columns, _ = forecasts[0].tracks.shape
    model_time = np.median([forecast.compute_time for forecast in forecasts])
    latency = np.nanmedian([forecast.latency for forecast in forecasts])
    lines = [
        "",
        f"{'view':<10} {'k':>3} {'T':>3} {'grid':>7} {'forecasts':>10} {'nothing moves':>14} {'MeanT':>8} {'Min':>8}",
        *(
            f"{error.view:<10} {samples:>3} {steps:>3} {f'{rows}x{columns}':>7} {error.forecasts:>10} "
            f"{error.nothing_moves:>14.1f} {error.mean_t:>8.1f} {error.min:>8.1f}"
            for error in errors
        ),
        "errors: px^2 at 128 px on the points that moved, against what then really happened in the episode",
        f"latency: {latency:.2f} s from image to tracks over DDS, {model_time:.2f} s of it the model (medians of "
        f"{len(forecasts)} forecasts, episode played at {speed:g} x)",
        f"model: {forecasts[0].model_id}",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
