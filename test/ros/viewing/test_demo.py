"""`make demo` as a user runs it, with a small episode and a tiny checkpoint."""

import os
import subprocess
import sys

import cv2
import imageio_ffmpeg
import numpy as np
import pytest
from bags import received, write_bag
from builtin_interfaces.msg import Time
from small_episode import FRAMES, small_episode
from std_msgs.msg import Header
from trajforecast_msgs.msg import PredictedTracks, TrackSummary

from trajforecast_ros import demo
from trajforecast_ros.processes import NodeFailed
from trajforecast_ros.recording.recording import Recording


def run_demo(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "trajforecast_ros.demo", *map(str, arguments)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def processes_with(text: str) -> list[str]:
    """Command lines of this machine's processes that have the text in them."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                with open(f"/proc/{entry.name}/cmdline", "rb") as file:
                    found.append(file.read().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:
                continue
    return [line for line in found if text in line]


@pytest.fixture
def episode_file(tmp_path):
    path = tmp_path / "episode.npz"
    small_episode().save(path)
    return path


@pytest.mark.slow
def test_it_writes_a_film_a_picture_and_a_table(tmp_path, tiny_checkpoint, episode_file):
    out = tmp_path / "out"
    result = run_demo(
        "--checkpoint", tiny_checkpoint, "--episode", episode_file, "--samples", 2, "--speed", 0.5, "--out", out
    )

    assert result.returncode == 0, result.stdout + result.stderr
    assert sorted(path.name for path in out.iterdir()) == ["forecast.html", "forecast.mp4", "forecast.png"]
    page = (out / "forecast.html").read_text()
    assert "data:image/jpeg;base64," in page and '"truth": "' in page and len(page) < 5e6
    picture = cv2.imread(str(out / "forecast.png"))
    assert picture.shape[1] > picture.shape[0] > 500 and picture.std() > 5
    film = imageio_ffmpeg.read_frames(str(out / "forecast.mp4"))
    properties = next(film)
    frames = [np.frombuffer(frame, np.uint8) for frame in film]
    assert properties["codec"] == "h264" and properties["pix_fmt"].startswith("yuv420p")
    assert properties["fps"] == 20
    assert 5 <= len(frames) <= FRAMES
    for row in ("side", "effector"):
        [line] = [line for line in result.stdout.splitlines() if line.startswith(row)]
        assert line.split()[1:4] == ["2", "16", "64x64"]
    assert "latency" in result.stdout and "nothing moves" in result.stdout
    assert not processes_with(str(episode_file)), "no node is left behind"


@pytest.mark.slow
def test_a_node_that_fails_is_shown_and_nothing_is_left(tmp_path, episode_file):
    result = run_demo("--checkpoint", tmp_path / "no_checkpoint", "--episode", episode_file, "--out", tmp_path / "out")

    assert result.returncode == 1
    assert "forecast_node ended" in result.stderr and "no_checkpoint" in result.stderr
    assert not processes_with(str(episode_file))


def test_a_missing_episode_is_an_error_of_use(tmp_path):
    result = run_demo("--episode", tmp_path / "none.npz", "--out", tmp_path / "out")

    assert result.returncode == 2
    assert "none.npz" in result.stderr and "Traceback" not in result.stderr


class RunningNodes:
    """Nodes of which none ends."""

    def check_running(self, name: str) -> None:
        pass

    def log_tail(self, name: str) -> str:
        return "the log's end"


def test_when_the_last_image_got_lost_the_newest_forecast_is_the_last(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "QUIET_SECONDS", 0)
    monkeypatch.setattr(demo, "LAST_FORECAST_SECONDS", 0)
    with pytest.raises(NodeFailed, match="there is no forecast"):
        demo.wait_for_last_forecast(RunningNodes(), Recording(tmp_path / "bag"), last_stamp=9)

    stamped = Header(stamp=Time(nanosec=8))
    tracks, summary = PredictedTracks(header=stamped), TrackSummary(header=stamped)
    write_bag(
        tmp_path / "bag",
        [[received("/predicted_tracks", tracks, 20), received("/predicted_tracks/summary", summary, 20)]],
    )
    demo.wait_for_last_forecast(RunningNodes(), Recording(tmp_path / "bag"), last_stamp=9)
