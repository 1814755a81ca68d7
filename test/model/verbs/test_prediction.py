import re
import struct
import zlib

import cv2
import numpy as np
import pytest
from layouts import write_video
from tiny_model import write_tiny_checkpoint

from trajforecast_model import Forecaster
from trajforecast_model.cli import main
from trajforecast_model.tracks.grid import query_points, rescale
from trajforecast_model.verbs.prediction import read_rgb
from trajforecast_model.verbs.video_moment import read_moment

INSTRUCTION = "pick up the milk and place it in the basket"


@pytest.fixture
def pictures(tmp_path):
    generator = np.random.default_rng(0)
    for name, (height, width) in {"small": (128, 128), "vga": (480, 640), "hd": (720, 1280)}.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), generator.integers(0, 256, (height, width, 3), dtype=np.uint8))
    return tmp_path


def predict(checkpoint, out, *more: str) -> int:
    common = ["--checkpoint", str(checkpoint), "--out", str(out)]
    if "--instruction" not in more:
        common += ["--instruction", INSTRUCTION]
    return main(["predict", *common, *more])


@pytest.mark.parametrize(("name", "size"), [("small", (128, 128)), ("vga", (480, 640)), ("hd", (720, 1280))])
def test_writes_tracks_in_the_images_own_pixels_and_a_picture(tiny_checkpoint, pictures, capsys, name, size):
    out, overlay = pictures / "new folder" / "f.npz", pictures / "f.png"
    images = ["--image", f"side={pictures / name}.png", "--image", f"effector={pictures}/small.png"]
    assert predict(tiny_checkpoint, out, *images, "-k", "2", "--overlay", str(overlay)) == 0
    arrays = np.load(out)
    assert set(arrays) >= {"tracks", "mean_track", "medoid", "spread", "views"}
    assert arrays["views"].tolist() == ["side", "effector"]
    assert arrays["tracks"].shape == (2, 2, 16, 64, 64, 2) and arrays["tracks"].dtype == np.float32
    assert arrays["mean_track"].shape == (2, 16, 64, 64, 2) and arrays["spread"].shape == (2, 16, 64, 64)
    expected = rescale(query_points((64, 64), (128, 128)), (128, 128), size)
    np.testing.assert_allclose(arrays["tracks"][0, 0, 0], expected, rtol=1e-5)
    figure = cv2.imread(str(overlay))
    assert figure.shape[0] > 640 and figure.shape[1] > 640 * (1 + size[1] / size[0])
    printed = capsys.readouterr().out.strip()
    assert str(out) in printed and str(overlay) in printed and "\n" not in printed
    assert not list(pictures.glob("**/*.tmp"))


def test_seed_reproduces(tiny_checkpoint, pictures):
    image = ["--image", f"side={pictures}/small.png", "-k", "2"]
    tracks = []
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        assert predict(tiny_checkpoint, pictures / f"{name}.npz", *image, "--seed", seed) == 0
        tracks.append(np.load(pictures / f"{name}.npz")["tracks"])
    assert np.array_equal(tracks[0], tracks[1])
    assert not np.array_equal(tracks[0], tracks[2])


def test_image_files_become_rgb(tmp_path):
    colour = np.zeros((4, 6, 3), np.uint8)
    colour[:] = 10, 20, 30  # OpenCV's order: blue first
    variants = {
        "colour": colour,
        "alpha": np.dstack([colour, np.full((4, 6), 128, np.uint8)]),
    }
    for name, pixels in variants.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), pixels)
        rgb = read_rgb(tmp_path / f"{name}.png")
        assert rgb.shape == (4, 6, 3) and rgb.dtype == np.uint8
        assert (rgb == [30, 20, 10]).all(), name
    cv2.imwrite(str(tmp_path / "grey.png"), colour[..., 0])
    assert (read_rgb(tmp_path / "grey.png") == 10).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image", "side"], "VIEW=FILE"),
        (["--image", "=a.png"], "VIEW=FILE"),
        (["--image", "side={}/small.png", "--image", "side={}/vga.png"], "given twice"),
        (["--image", "wrist={}/small.png"], "'wrist' is unknown"),
        (["--image", "side={}/missing.png"], "missing.png does not exist"),
        (["--image", "side={}"], "is not a file"),
        (["--image", "side={}/text.png"], "not an image"),
        (["--image", "side={}/empty.png"], "not an image"),
        (["--image", "side={}/sixteen.png"], "sixteen.png has uint16 values"),
        (["--image", "side={}/depth.png"], "depth.png has uint16 values, as a depth map has"),
        (["--image", "side={}/metres.tiff"], "metres.tiff has float32 values, as a depth map has"),
        (["--image", "side={}/huge.png"], "not an image"),
        (["--image", "side={}/small.png", "--instruction", "  "], "instruction"),
        (["--image", "side={}/small.png", "-k", "0"], "k: got 0"),
        (["--image", "side={}/small.png", "--steps", "0"], "steps: got 0"),
        (["--image", "side={}/small.png", "--seed", "-1"], "seed: got -1"),
        (["--image", "side={}/small.png", "--overlay", "{}/f.webm"], "ends in .png"),
        (["--image", "side={}/small.png", "--device", "toaster"], "device: got 'toaster'"),
        (["--image", "side={}/small.png", "--checkpoint", "{}"], "no config.json"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(tiny_checkpoint, pictures, capsys, arguments, message):
    (pictures / "text.png").write_text("this is no picture")
    (pictures / "empty.png").touch()
    small = cv2.imread(str(pictures / "small.png"))
    cv2.imwrite(str(pictures / "sixteen.png"), small.astype(np.uint16) * 256)
    cv2.imwrite(str(pictures / "depth.png"), small[..., 0].astype(np.uint16) * 10)
    cv2.imwrite(str(pictures / "metres.tiff"), small[..., 0].astype(np.float32) / 100)
    png = bytearray((pictures / "small.png").read_bytes())
    png[16:24] = struct.pack(">II", 60000, 60000)  # what its header says of its size
    png[29:33] = struct.pack(">I", zlib.crc32(png[12:29]))
    (pictures / "huge.png").write_bytes(png)
    out = pictures / "f.npz"
    assert predict(tiny_checkpoint, out, *(argument.format(pictures) for argument in arguments)) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert not out.exists()


def test_unwritable_output_is_a_message(tiny_checkpoint, pictures, capsys):
    image = ["--image", f"side={pictures}/small.png", "-k", "1"]
    assert predict(tiny_checkpoint, pictures / "small.png" / "f.npz", *image) == 2
    assert predict(tiny_checkpoint, pictures / "f.txt", *image) == 2
    assert "ends in .npz" in capsys.readouterr().err


def test_words_that_the_model_does_not_know_are_told_once(tiny_checkpoint, pictures, capsys):
    image = ["--image", f"side={pictures}/small.png", "--image", f"effector={pictures}/small.png", "-k", "1"]
    assert predict(tiny_checkpoint, pictures / "f.npz", *image, "--instruction", "打开抽屉") == 0
    assert capsys.readouterr().err.count("knows no word of '打开抽屉'") == 1


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A second of video at 20 frames a second, whose picture slides to the right."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8).repeat(4, axis=0).repeat(4, axis=1)
    frames = np.stack([noise[10:138, 60 - 2 * step : 220 - 2 * step] for step in range(20)])
    return write_video(tmp_path_factory.mktemp("clip") / "side.avi", frames, 20.0)


@pytest.fixture(scope="module")
def with_history(tmp_path_factory):
    folder = tmp_path_factory.mktemp("with_history")
    write_tiny_checkpoint(folder, history_frames=4)
    return folder


def test_a_moment_of_a_video_is_forecast_with_what_came_before_it(with_history, clip, tmp_path):
    for name, at in (("begun", "0.0"), ("first", "0.05"), ("later", "0.5")):
        assert predict(with_history, tmp_path / f"{name}.npz", "--video", f"side={clip}", "--at", at, "-k", "1") == 0
    tracks = np.load(tmp_path / "later.npz")["tracks"]
    moment = read_moment(clip, 0.5, 0.2)
    assert len(moment.before) == 4
    np.testing.assert_allclose(moment.stamps, [-0.2, -0.15, -0.1, -0.05])
    forecaster = Forecaster.from_pretrained(with_history)
    expected = forecaster.predict({"side": moment.image}, INSTRUCTION, k=1, history={"side": moment.before}).tracks
    np.testing.assert_allclose(tracks, expected, atol=1e-3)
    assert tracks.shape[1:] == (1, 16, 64, 64, 2) and tracks[0, 0, 0, -1, -1, 0] > 128, "pixels of the video, 160 wide"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--at", "1.5"], r"--at 1\.5: .*side\.avi ends after 1\.00 s \(20 frames at 20 a second\)"),
        (["--at", "-1"], r"--at -1: expected seconds"),
        ([], "--video needs the moment"),
        (["--at", "0.5", "--image", "side=a.png"], "give --image VIEW=FILE for each view, or --video"),
    ],
)
def test_what_is_no_moment_of_a_video_is_told_in_a_line(with_history, clip, tmp_path, capsys, more, message):
    assert predict(with_history, tmp_path / "f.npz", "--video", f"side={clip}", *more) == 2
    error = capsys.readouterr().err.strip()
    assert re.search(message, error) and "\n" not in error
    assert not (tmp_path / "f.npz").exists()


def test_a_video_that_is_not_there_is_told(with_history, tmp_path, capsys):
    assert predict(with_history, tmp_path / "f.npz", "--video", f"side={tmp_path}/no.mp4", "--at", "1") == 2
    assert "no.mp4 does not exist" in capsys.readouterr().err
