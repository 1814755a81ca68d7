"""Videos and pictures of one's own that are not what they are taken for: of uneven times, or of a depth camera."""

import subprocess

import cv2
import numpy as np
import pytest
from layouts import TASK, episode, write_recordings

from trajforecast_model.cli import main
from trajforecast_model.data.sources.find import find_sources
from trajforecast_model.data.sources.interface import SourceOptions

imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
OPTIONS = ["--labeler", "lucas_kanade", "--workers", "1", "--stride", "4"]


def convert(video, to, *how):
    program = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", video]
    subprocess.run([*program, *how, to], check=True)


def test_a_video_whose_times_have_gaps_is_refused_unless_a_rate_is_given(tmp_path):
    side = write_recordings(tmp_path, [{"side": episode(20)["side"]}], ".avi") / TASK / "side"
    uneven = ("-vf", "select=lt(n\\,4)+gt(n\\,14)", "-fps_mode", "vfr", "-c:v", "mpeg4")
    convert(side / "0.avi", side / "1.mp4", *uneven)
    cameras = {"side": None}
    with pytest.raises(ValueError, match=r"1\.mp4: .* lie between its frames 3 and 4.*frames are missing"):
        find_sources([tmp_path], SourceOptions(cameras=cameras))[0].read("1")
    assert find_sources([tmp_path], SourceOptions(fps=20, cameras=cameras))[0].read("1").num_frames == 9


def test_a_video_of_a_depth_camera_is_refused_by_name(tmp_path, capsys):
    side = write_recordings(tmp_path / "in", [{"side": episode(3)["side"]}], ".avi") / TASK / "side"
    convert(side / "0.avi", side / "1.mkv", "-c:v", "ffv1", "-pix_fmt", "gray16le")
    command = ["prepare", str(tmp_path / "in"), "--out", str(tmp_path / "out"), *OPTIONS, "--view", "side"]
    assert main(command) == 1
    assert "1.mkv has values of 16 bits and one channel, as a depth camera's" in capsys.readouterr().err


def test_pictures_of_a_depth_camera_are_refused_before_the_work(tmp_path, capsys):
    write_recordings(tmp_path / "in", [episode(3)], ".png")
    for file in (tmp_path / "in").rglob("*.png"):
        cv2.imwrite(str(file), np.ones((8, 8), np.uint16))
    assert main(["prepare", str(tmp_path / "in"), "--out", str(tmp_path / "out"), *OPTIONS, "--fps", "20"]) == 2
    assert "0.png has uint16 values, as a depth map has" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
