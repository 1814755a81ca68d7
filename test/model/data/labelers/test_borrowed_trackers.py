"""Trackers of other projects, through stand-ins that have their signatures and their conventions for pixels."""

import sys

import numpy as np
import pytest
import torch
from stand_in_source import forgetting, write_sources

from trajforecast_model.data.labelers.trackers.interface import TrackerOptions
from trajforecast_model.data.labelers.trackers.registry import make_point_tracker

FRAMES, HEIGHT, WIDTH = 5, 96, 128
VIDEO = np.random.default_rng(0).integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3), dtype=np.uint8)
POINTS = np.array([[0.5, 0.5], [31.5, 63.5], [100.25, 20.5]], np.float32)
GROWTH = 0.1  # of the distance to the origin, a frame
TIME = np.arange(FRAMES)[:, None, None]

# As facebookresearch/co-tracker has it: the centre of the first pixel is (0, 0).
COTRACKER = """
import torch
from torch import nn

class CoTrackerPredictor(nn.Module):
    def __init__(self, checkpoint="./checkpoints/scaled_offline.pth", offline=True, v2=False, window_len=60):
        super().__init__()
        assert checkpoint is None and offline and not v2 and window_len == 60
        self.model = nn.Linear(2, 1)

    def forward(self, video, queries=None, segm_mask=None, grid_size=0, grid_query_frame=0, backward_tracking=False):
        batch, frames, channels, height, width = video.shape
        assert (batch, channels) == (1, 3) and video.is_floating_point() and video.max() > 1
        assert (queries[..., 0] == 0).all()
        time = torch.arange(frames)[None, :, None]
        tracks = queries[:, None, :, 1:] * (1 + 0.1 * time[..., None])
        return tracks, (tracks[..., 0] < width).expand(1, frames, -1).clone()
"""

# As aharley/alltracker has it: flow of every pixel of images whose sides are multiples of 8.
ALLTRACKER = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, seqlen, use_basicencoder=False, no_split=False, init_weights=True):
        super().__init__()
        assert use_basicencoder == no_split
        assert use_basicencoder or not init_weights, "this would download weights"
        name = "fnet" if use_basicencoder else "cnn"
        setattr(self, name, nn.Linear(2, 1))
        self.small = use_basicencoder

    def forward(self, images, iters=4, sw=None, is_training=False, stride=None):
        batch, frames, channels, height, width = images.shape
        assert (batch, channels) == (1, 3) and images.max() > 1 and height % 8 == width % 8 == 0
        assert is_training, "frames would be sent to a GPU"
        assert frames >= 16 and frames % 8 == 0, "would not be padded in training"
        time = torch.arange(frames).view(1, -1, 1, 1)
        x, y = torch.arange(width).view(1, 1, 1, -1), torch.arange(height).view(1, 1, -1, 1)
        zero = torch.zeros(1, frames, height, width)
        flow = torch.stack([time * 0.1 * x + zero, time * (0.2 if self.small else 0.1) * y + zero], dim=2)
        seen = torch.stack([0.9 + zero, torch.where(x < width / 2, 0.8, 0.5) + zero], dim=2)
        return flow, seen, [], []
"""

# As google-deepmind/tapnet has it: y before x, the corner of the first pixel is (0, 0), images of 256 x 256 in -1..1.
TAPNEXT = """
import torch
from torch import nn

class TAPNext(nn.Module):
    def __init__(self, image_size):
        super().__init__()
        assert tuple(image_size) == (256, 256)
        self.growth = nn.Parameter(torch.zeros(2))

    def forward(self, video, query_points=None, state=None):
        assert video.shape == (1, 1, 256, 256, 3) and -1 <= video.min() < 0 < video.max() <= 1
        assert (query_points is None) != (state is None)
        step, start = (0, query_points[..., 1:]) if state is None else state
        assert start.shape[1] <= 1024
        tracks = (start * (1 + self.growth * step))[:, None]
        return tracks, None, 100 - tracks[..., :1], (step + 1, start)
"""
TAPNEXT_UTILS = """
import numpy as np
import torch

def restore_model_from_jax_checkpoint(model, ckpt_path):
    model.growth.data.copy_(torch.tensor({k: v for k, v in np.load(ckpt_path).items()}["growth"]))
    return model
"""
TAPNEXT_GROWTH = torch.tensor([0.1, 0.2])  # along y and x


@pytest.fixture(autouse=True)
def modules_forgotten():
    with forgetting("cotracker", "nets", "tapnet"):
        yield


@pytest.fixture
def checkout(tmp_path):
    sources = {
        "cotracker/predictor.py": COTRACKER,
        "nets/alltracker.py": ALLTRACKER,
        "tapnet/tapnext/tapnext_torch.py": TAPNEXT,
        "tapnet/tapnext/tapnext_torch_utils.py": TAPNEXT_UTILS,
    }
    return write_sources(tmp_path / "checkout", sources)


def saved(tmp_path, content):
    path = tmp_path / "weights.pt"
    torch.save(content, path)
    return path


def linear(prefix: str = "") -> dict:
    return {f"{prefix}{name}": value for name, value in torch.nn.Linear(2, 1).state_dict().items()}


def checked(name: str, options: TrackerOptions, points=POINTS, video=VIDEO):
    tracks, visible = make_point_tracker(name, options).track(video, points)
    assert tracks.shape == (len(video), len(points), 2) and tracks.dtype == np.float32
    assert visible.shape == (len(video), len(points)) and visible.dtype == bool
    np.testing.assert_array_equal(tracks[0], points)
    assert visible[0].all()
    return tracks, visible


def test_cotracker3_has_its_origin_at_the_centre_of_the_first_pixel(checkout, tmp_path):
    tracks, visible = checked("cotracker3", TrackerOptions(checkout, saved(tmp_path, {"model": linear()})))
    np.testing.assert_allclose(tracks, (POINTS - 0.5) * (1 + GROWTH * TIME) + 0.5, rtol=1e-5)
    assert visible[:, :2].all() and visible[:, 2].tolist() == [True, True, True, False, False]


@pytest.mark.parametrize("part, growth_of_y", [("cnn.", 0.1), ("fnet.", 0.2)], ids=["full", "tiny"])
def test_alltracker_takes_the_flow_of_the_pixel_under_each_point(checkout, tmp_path, part, growth_of_y):
    options = TrackerOptions(checkout, saved(tmp_path, {"model": linear(part)}))
    tracks, visible = checked("alltracker", options)
    pixel = np.floor(POINTS * 4) / 4  # 128 x 96 is enlarged four times
    np.testing.assert_allclose(tracks, POINTS + TIME * np.array([0.1, growth_of_y]) * pixel, rtol=1e-5)
    assert visible[1:].all(axis=0).tolist() == [True, True, False], "0.9 * 0.8 is above the threshold, 0.9 * 0.5 is not"


@pytest.mark.parametrize("frames", [1, 16, 17, 30])
def test_alltracker_gets_whole_windows_whatever_the_length(checkout, tmp_path, frames):
    options = TrackerOptions(checkout, saved(tmp_path, linear("cnn.")))
    checked("alltracker", options, video=np.full((frames, 33, 50, 3), 9, np.uint8), points=POINTS[:1])


@pytest.mark.parametrize("file", ["torch", "lightning", "jax"])
def test_tapnext_has_y_before_x_at_256_pixels(checkout, tmp_path, file):
    if file == "jax":
        path = tmp_path / "bootstapnext_ckpt.npz"
        np.savez(path, growth=TAPNEXT_GROWTH.numpy())
    elif file == "lightning":
        path = saved(tmp_path, {"state_dict": {"tapnext.growth": TAPNEXT_GROWTH}})
    else:
        path = saved(tmp_path, {"growth": TAPNEXT_GROWTH})
    tracks, visible = checked("tapnext", TrackerOptions(checkout, path))
    np.testing.assert_allclose(tracks, POINTS * (1 + np.array([0.2, 0.1]) * TIME), rtol=1e-5)
    # Visible above y = 100 of 256, that is 37.5 of 96.
    np.testing.assert_array_equal(visible[1:], tracks[1:, :, 1] < 37.5)


def test_tapnext_takes_a_dense_grid_in_parts(checkout, tmp_path):
    points = np.random.default_rng(0).uniform(0, 90, (2500, 2)).astype(np.float32)
    tracks, _ = checked("tapnext", TrackerOptions(checkout, saved(tmp_path, {"growth": TAPNEXT_GROWTH})), points)
    np.testing.assert_allclose(tracks[-1], points * np.array([1.8, 1.4]), rtol=1e-5)


@pytest.mark.parametrize(
    "name, weights", [("cotracker3", linear()), ("alltracker", linear("cnn.")), ("tapnext", {"growth": TAPNEXT_GROWTH})]
)
def test_no_points_are_no_tracks(checkout, tmp_path, name, weights):
    checked(name, TrackerOptions(checkout, saved(tmp_path, weights)), points=np.zeros((0, 2), np.float32))


BORROWED = {"cotracker3": "cotracker", "alltracker": "nets", "tapnext": "tapnet"}


@pytest.mark.parametrize("name", BORROWED)
def test_without_its_source_the_message_says_what_to_get(monkeypatch, name):
    monkeypatch.setitem(sys.modules, BORROWED[name], None)  # as if it were not installed, here and anywhere
    with pytest.raises(ValueError, match=rf"^{name}: .*no checkout was named.*git clone https://github.com/"):
        make_point_tracker(name)


@pytest.mark.parametrize("name", BORROWED)
def test_a_checkout_of_something_else_is_named(tmp_path, name):
    (tmp_path / "else").mkdir()
    with pytest.raises(ValueError, match=rf"^{name}: .*cannot be imported from .*else"):
        make_point_tracker(name, TrackerOptions(tmp_path / "else"))
    with pytest.raises(ValueError, match=f"^{name}: checkout .*nowhere is not a folder"):
        make_point_tracker(name, TrackerOptions(tmp_path / "nowhere"))


@pytest.mark.parametrize("name", BORROWED)
def test_without_weights_the_message_says_which_and_where_from(checkout, tmp_path, name):
    with pytest.raises(ValueError, match=f"^{name}: no weights were named. Download .* https://"):
        make_point_tracker(name, TrackerOptions(checkout))
    with pytest.raises(ValueError, match=f"^{name}: weights file .* does not exist. Download"):
        make_point_tracker(name, TrackerOptions(checkout, tmp_path / "none.pt"))


@pytest.mark.parametrize("name, weights", [("cotracker3", linear()), ("alltracker", linear("cnn."))])
def test_weights_are_found_however_they_were_saved(checkout, tmp_path, name, weights, capsys):
    prefixed = {f"module._orig_mod.{key}": value for key, value in weights.items()}
    optimiser = {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": []}
    path = saved(tmp_path, {"model_state_dict": prefixed, "optimizer_state_dict": optimiser, "step": 7})
    checked(name, TrackerOptions(checkout, path))
    assert "in entry 'model_state_dict', keys without their prefix 'module._orig_mod.'" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["", "net.", "model.net."])
def test_a_tracker_s_own_names_are_no_wrapping(checkout, tmp_path, part):
    """A network whose keys all begin with `model.` or `net.` by themselves."""
    network = "nn.Linear(2, 1)"
    for name in reversed(part.split(".")[:-1]):
        network = f"nn.ModuleDict({{'{name}': {network}}})"
    (checkout / "cotracker" / "predictor.py").write_text(COTRACKER.replace("nn.Linear(2, 1)", network))
    checked("cotracker3", TrackerOptions(checkout, saved(tmp_path, {"model": linear(part)})))


@pytest.mark.parametrize("name", BORROWED)
def test_other_weights_are_refused(checkout, tmp_path, name):
    with pytest.raises(ValueError, match=f"^{name}: these are not its weights, expected"):
        make_point_tracker(name, TrackerOptions(checkout, saved(tmp_path, {"something.else": torch.zeros(3)})))


def test_an_archive_that_is_no_tapnext_is_refused(checkout, tmp_path):
    np.savez(tmp_path / "w.npz", other=np.zeros(2))
    with pytest.raises(ValueError, match=r"w\.npz is not a TAPNext checkpoint"):
        make_point_tracker("tapnext", TrackerOptions(checkout, tmp_path / "w.npz"))


class Trap:
    sprung = False

    def __reduce__(self):
        return setattr, (Trap, "sprung", True)


@pytest.mark.parametrize("name", BORROWED)
def test_weights_run_nothing(checkout, tmp_path, name):
    with pytest.raises(ValueError, match="not a file of plain tensors"):
        make_point_tracker(name, TrackerOptions(checkout, saved(tmp_path, {"model": linear(), "trap": Trap()})))
    assert not Trap.sprung


def test_a_checkout_can_be_imported_from_only_while_its_tracker_is(checkout, tmp_path):
    before = list(sys.path)
    make_point_tracker("cotracker3", TrackerOptions(checkout, saved(tmp_path, linear())))
    assert sys.path == before


def test_a_gpu_that_is_not_there_is_said(checkout, tmp_path):
    with pytest.raises(ValueError, match="device: got 'gpu'"):
        make_point_tracker("cotracker3", TrackerOptions(checkout, saved(tmp_path, linear()), device="gpu"))
