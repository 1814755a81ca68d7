"""image_transport: one for all cameras, or one for each."""

import pytest

from trajforecast_ros.forecast import parameters
from trajforecast_ros.forecast.parameters import ForecastParameters
from trajforecast_ros.forecast.transports import parse_transports
from trajforecast_ros.images import video

VIEWS = ["side", "effector"]


@pytest.mark.parametrize(
    ("text", "side", "effector"),
    [
        ("raw", "raw", "raw"),
        ("compressed", "compressed", "compressed"),
        ("ffmpeg", "ffmpeg", "ffmpeg"),
        ("side:raw,effector:compressed", "raw", "compressed"),
        (" effector : ffmpeg , side : compressed ", "compressed", "ffmpeg"),
        ("effector:compressed", "raw", "compressed"),
    ],
)
def test_each_camera_gets_its_own(text, side, effector):
    assert parse_transports(text, VIEWS) == {"side": side, "effector": effector}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("theora", "choose one of raw, compressed, ffmpeg"),
        ("compressedDepth", "is for depth"),
        ("", "choose one of raw"),
        ("side:h264", "'h264' is none of the transports"),
        ("sied:raw", "did you mean side?"),
        ("wrist:raw", "there is no camera 'wrist'"),
        ("side:raw,side:compressed", "named twice"),
        ("side:raw,compressed", "names no camera"),
        ("raw,compressed", "choose one of"),
    ],
)
def test_what_there_is_not_is_refused_by_name(text, complaint):
    with pytest.raises(ValueError) as refused:
        parameters.check(ForecastParameters(image_transport=text))

    assert complaint in str(refused.value) and "image_transport" in str(refused.value)


@pytest.mark.parametrize(
    ("missing", "remedy"),
    [("av", "pip install 'trajforecast[video]'"), ("ffmpeg_image_transport_msgs.msg", "ffmpeg-image-transport-msgs")],
)
def test_video_is_refused_before_anything_is_loaded_where_it_is_not_installed(monkeypatch, missing, remedy):
    def import_module(name: str) -> None:
        if name == missing:
            raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(video.importlib, "import_module", import_module)
    with pytest.raises(ValueError) as refused:
        parameters.check(ForecastParameters(image_transport="effector:ffmpeg"))

    assert "parameter image_transport" in str(refused.value) and remedy in str(refused.value)
