"""AMPLIFY through a stand-in of its source, which has its modules, its signatures and its conventions."""

import json
import sys

import numpy as np
import pytest
import torch
from stand_in_source import forgetting, write_sources

from trajforecast_model.cli import main
from trajforecast_model.conversion.amplify import load_amplify
from trajforecast_model.data.shards import DatasetInfo, ShardDataset, Window, write_info, write_shard
from trajforecast_model.evaluation.forecasters.amplify import QueryGrid
from trajforecast_model.evaluation.forecasters.models import load_point_forecaster
from trajforecast_model.evaluation.windows import moving_windows
from trajforecast_model.tracks.grid import query_points

INSTRUCTION = "pick up the milk"
SIDE, EFFECTOR = 51, 204  # brightness of the images
SPEED, SLOPE = 0.01, 0.25

# Points move down by the brightness of the other view's image and the length of the text, and to the right the more, the
# lower they are in the image.
SOURCE = """
import os
import sys

import torch
from torch import nn

sys.excepthook = print


class OmegaConf:
    create = staticmethod(lambda values: type("Config", (), values))


class T5(nn.Module):
    def __init__(self, size, **settings):
        super().__init__()
        assert os.environ["HF_HUB_OFFLINE"] == "1"
        if size != "small":
            raise OSError(f"no t5-{size} here")
        self.tokenizer = type("Tokenizer", (), {"batch_encode_plus": None})

    def forward(self, text):
        return torch.tensor([[float(len(one))] for one in text])


class AMPLIFY(nn.Module):
    def __init__(self, motion_tokenizer_cfg, fd_cfg, id_cfg, vision_encoder_cfg, text_encoder_cfg):
        super().__init__()
        assert vision_encoder_cfg["pretrained"] is False and motion_tokenizer_cfg.vision_encoder["pretrained"] is False
        ready = fd_cfg.forward_dynamics["text_encoder"]["use_preprocessed_embs"]
        self.text_encoder = None if ready else T5(**text_encoder_cfg)
        self.slope = nn.Parameter(torch.zeros(1))
        print("number of parameters")

    @torch.no_grad()
    def predict_traj(self, images, init_queries, text=None, text_emb=None, ar_sampling="argmax"):
        batch, views, frames, number, _ = init_queries.shape
        assert images.shape == (batch, views, 128, 128, 3) and images.dtype == torch.float32 and images.max() <= 1
        assert (views, frames, number) == (2, 1, 400) and (text_emb is None) == (self.text_encoder is not None)
        words = self.text_encoder(text) if text_emb is None else text_emb
        other = images.mean(dim=(2, 3, 4)).flip(1)[..., None].expand(-1, -1, number)
        down = other * words[:, :, None] / 10
        if ar_sampling == "topk":
            down = down + torch.rand(batch, 1, 1)
        across = self.slope * init_queries[:, :, 0, :, 0]
        velocity = torch.stack([down, across], dim=-1)
        return init_queries + 0.01 * torch.arange(16.0)[None, None, :, None, None] * velocity[:, :, None]
"""
GRID = """
import torch


class Query:
    def __init__(self, points):
        self.points = points

    def standard(self):
        return self.points


def grid_queries(views, n_tracks, device):
    side = round(n_tracks**0.5)
    ticks = torch.linspace(-1 + 1 / side, 1 - 1 / side, side)
    column, row = torch.meshgrid(ticks, ticks, indexing="ij")
    return Query(torch.stack([row, column], dim=-1).reshape(1, -1, 2).expand(views, -1, -1))
"""
CONFIG = {
    "motion_tokenizer_cfg": {
        "cond_cameraviews": ["agentview", "eye_in_hand"],
        "img_shape": [128, 128],
        "true_horizon": 16,
        "track_pred_horizon": 16,
        "num_tracks": 400,
        "vision_encoder": {"model_name": "resnet18"},
    },
    "forward_dynamics_cfg": {"forward_dynamics": {"text_encoder": {"use_preprocessed_embs": False}}},
    "inverse_dynamics_cfg": {},
    "vision_encoder_cfg": {"model_name": "resnet18", "get_patches": True},
    "text_encoder_cfg": {"size": "small", "use_preprocessed_embs": False},
}


@pytest.fixture(autouse=True)
def modules_forgotten():
    with forgetting("amplify"):
        yield


@pytest.fixture
def checkout(tmp_path):
    sources = {
        "amplify/__init__.py": "from .amplify import AMPLIFY",
        "amplify/amplify.py": SOURCE,
        "amplify/utils/kp_utils/query_utils.py": GRID,
    }
    return write_sources(tmp_path / "AMPLIFY", sources)


def changed(section: str, **values) -> dict:
    return CONFIG | {section: CONFIG[section] | values}


def bundle(tmp_path, config=CONFIG, **more):
    path = tmp_path / "latest.pt"
    torch.save({"config": config, "model": {"slope": torch.tensor([SLOPE])}, "metadata": {}} | more, path)
    return path


def converted(tmp_path, checkout, *options, config=CONFIG, **more):
    arguments = ["--checkpoint", str(bundle(tmp_path, config, **more)), "--checkout", str(checkout), *options]
    assert main(["convert", "amplify", *arguments, "--out", str(tmp_path / "checkpoint")]) == 0
    return tmp_path / "checkpoint"


def moving_window(view: str, start: int, info: DatasetInfo) -> Window:
    tracks = np.tile(query_points(info.grid, info.image_size), (16, 1, 1, 1))
    tracks[..., 0] += np.arange(16, dtype=np.float32)[:, None, None]
    image = np.full((*info.image_size, 3), SIDE if view == "side" else EFFECTOR, np.uint8)
    visible = np.ones(tracks.shape[:3], bool)
    return Window("pick_up_the_milk", "demo_9", start, view, INSTRUCTION, image, tracks, visible, 16)


@pytest.fixture
def data(tmp_path):
    return written(tmp_path, DatasetInfo(labeler="exact", stride=1), [("side", 0), ("effector", 0), ("side", 5), ("effector", 5)])  # fmt: skip


def written(tmp_path, info, moments):
    folder = tmp_path / "data"
    write_info(folder, info)
    write_shard(
        folder / "val" / "milk__demo_0009.arrow", [moving_window(view, start, info) for view, start in moments], info
    )
    return folder


def forecasts(checkpoint, data, k=4, seed=0):
    dataset = ShardDataset(data, "val")
    forecaster = load_point_forecaster(checkpoint, "cpu", "float32")
    forecaster.check_fit(dataset.info)
    windows = list(moving_windows(dataset, None, lambda: None))
    return windows, forecaster.forecast(windows, k, None, [seed + number for number in range(len(windows))])


def motion_on_paper(view: str, points: np.ndarray) -> np.ndarray:
    """[T, P, 2] pixels: of the whole image's height 128, one is 1/64 of half a side."""
    other = (EFFECTOR if view == "side" else SIDE) / 255
    row = np.clip((points[:, 1] - 0.5) / 64 - 1, -0.95, 0.95)  # beyond its outermost points, their motion
    velocity = np.stack([SLOPE * row, np.full_like(row, other * len(INSTRUCTION) / 10)], axis=-1)
    return 64 * SPEED * np.arange(16)[:, None, None] * velocity


@pytest.mark.parametrize("ready", [False, True], ids=["own text encoder", "trained on ready embeddings"])
def test_each_view_is_forecast_from_both_and_read_between_the_points_of_its_grid(checkout, data, tmp_path, ready):
    config = changed("forward_dynamics_cfg", forward_dynamics={"text_encoder": {"use_preprocessed_embs": ready}})
    windows, answers = forecasts(converted(tmp_path, checkout, config=config), data)
    assert [one.window.view for one in windows] == ["side", "effector", "side", "effector"]
    for one, answer in zip(windows, answers, strict=True):
        for tracks, chosen in ((answer.drawn, one.drawn), (answer.moving, one.moving)):
            points = one.truth[0].reshape(-1, 2)[chosen]
            assert tracks.shape == (1, 16, len(chosen), 2), "the likeliest code is one forecast, whatever k is"
            np.testing.assert_allclose(tracks[0], points + motion_on_paper(one.window.view, points), atol=1e-4)


def test_drawn_codes_give_samples_that_differ_and_come_again(checkout, data, tmp_path):
    checkpoint = converted(tmp_path, checkout, "--sampling", "topk")
    state = torch.get_rng_state()
    (_, first), (_, again), (_, other) = (forecasts(checkpoint, data, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(state, torch.get_rng_state())
    assert first[0].drawn.shape[0] == 4 and np.ptp(first[0].drawn[:, -1], axis=0).max() > 1
    np.testing.assert_array_equal(first[0].drawn, again[0].drawn)
    assert not np.array_equal(first[0].drawn, other[0].drawn)


def test_it_is_evaluated_like_any_checkpoint(checkout, data, tmp_path, capsys):
    hook = sys.excepthook
    checkpoint = converted(tmp_path, checkout)
    capsys.readouterr()
    arguments = [
        "--checkpoint",
        str(checkpoint),
        "--data",
        str(data),
        "-k",
        "1",
        "2",
        "--out",
        str(tmp_path / "r.json"),
    ]
    assert main(["evaluate", *arguments]) == 0
    report = json.loads((tmp_path / "r.json").read_text())
    for view in ("side", "effector"):
        points = query_points((64, 64), (128, 128)).reshape(-1, 2)
        truth = np.arange(16)[:, None, None] * np.array([1.0, 0.0])
        expected = np.square(motion_on_paper(view, points) - truth).sum(-1).mean()
        errors = report["views"][view]
        assert errors["n_windows"] == 2
        assert errors["all_moving_points"]["mean_t"]["2"] == pytest.approx(expected, rel=1e-4)
        assert errors["mean_t"] == errors["min"]
    assert "number of parameters" not in capsys.readouterr().out
    assert sys.excepthook is hook


def refused(capsys, message: str, *arguments) -> None:
    assert main(list(map(str, arguments))) == 2
    assert message in capsys.readouterr().err


def test_a_bundle_s_weights_are_found_however_they_were_saved(checkout, tmp_path, capsys):
    def slope(content: dict, *options: str) -> float:
        torch.save({"config": CONFIG} | content, tmp_path / "file.pt")
        out = tmp_path / str(len(list(tmp_path.iterdir())))
        arguments = ["--checkpoint", str(tmp_path / "file.pt"), "--checkout", str(checkout), *options]
        assert main(["convert", "amplify", *arguments, "--out", str(out)]) == 0
        with forgetting("amplify"):
            return load_amplify(out, torch.device("cpu"))[1].model.slope.item()

    weights, average = ({"module._orig_mod.slope": torch.tensor([value])} for value in (1.0, 2.0))
    optimiser = {"optimizer": {"state": {0: {"exp_avg": torch.ones(1)}}, "param_groups": []}}
    assert slope({"model_state_dict": weights} | optimiser) == 1
    assert "in entry 'model_state_dict', keys without their prefix 'module._orig_mod.'" in capsys.readouterr().out
    assert slope({"model": weights, "ema": average}) == 2
    assert slope({"model": weights, "ema": average}, "--weights", "model") == 1


def test_what_is_missing_is_said_when_converting(checkout, tmp_path, capsys):
    def refused_with(message, checkpoint, source=checkout, sampling="argmax"):
        refused(capsys, message, "convert", "amplify", "--checkpoint", checkpoint, "--checkout", source,
                "--sampling", sampling, "--out", tmp_path / "out")  # fmt: skip
        assert not (tmp_path / "out").exists()

    whole = bundle(tmp_path)
    refused_with("git clone https://github.com/pairlab/AMPLIFY", whole, tmp_path)
    refused_with("none.pt does not exist. Download an AMPLIFY checkpoint", tmp_path / "none.pt")
    refused_with("sampling: got 'beam'", whole, sampling="beam")
    torch.save({"config": CONFIG["motion_tokenizer_cfg"], "model": {}}, tmp_path / "part.pt")
    refused_with("python -m amplify.bundle_amplify", tmp_path / "part.pt")
    refused_with("only models of one step a frame", bundle(tmp_path, changed("motion_tokenizer_cfg", true_horizon=32)))
    refused_with("would be downloaded", bundle(tmp_path, changed("vision_encoder_cfg", model_name="clip-base")))
    cameras = changed("motion_tokenizer_cfg", cond_cameraviews=["agentview", "front"])
    refused_with("name the view of camera front", bundle(tmp_path, cameras))


@pytest.mark.parametrize(
    "source, message",
    [
        ("import no_such_timm", "No module named 'no_such_timm'"),
        (SOURCE.replace("batch_encode_plus", "encode"), "install one below 5"),
        (SOURCE.replace('size != "small"', "True"), "hf download t5-small"),
        (SOURCE.replace("self.slope", "self.another"), "these are not its weights"),
    ],
    ids=["a package", "an older transformers", "T5", "its weights"],
)
def test_what_is_missing_is_said_when_evaluating(checkout, data, tmp_path, capsys, source, message):
    (checkout / "amplify" / "amplify.py").write_text(source)
    checkpoint = converted(tmp_path, checkout)
    refused(capsys, message, "evaluate", "--checkpoint", checkpoint, "--data", data, "--out", tmp_path / "r.json")


def test_data_and_settings_that_do_not_fit_are_refused(checkout, tmp_path, capsys):
    checkpoint = converted(tmp_path, checkout)

    def refused_with(message, folder, *options):
        refused(capsys, message, "evaluate", "--checkpoint", checkpoint, "--data", folder, "--out", tmp_path / "r.json",
                *options)  # fmt: skip

    info = DatasetInfo(labeler="exact", stride=1)
    gap = written(tmp_path / "gap", info, [("side", 0), ("effector", 5)])
    refused_with("pick_up_the_milk demo_9 has no effector view of frame 0", gap)
    refused_with("float32 alone", gap, "--dtype", "bfloat16")
    one_view = written(tmp_path / "one", DatasetInfo(labeler="exact", stride=1, views=("side",)), [("side", 0)])
    refused_with("the data has no view ['effector']", one_view)
    slow = written(tmp_path / "slow", DatasetInfo(labeler="exact", stride=1, dt=0.1), [("side", 0), ("effector", 0)])
    refused_with("the data has dt 0.1", slow)


class Trap:
    sprung = False

    def __reduce__(self):
        return setattr, (Trap, "sprung", True)


def test_a_bundle_runs_nothing(checkout, tmp_path, capsys):
    path = bundle(tmp_path, metadata=Trap())
    refused(capsys, "not a file of plain tensors", "convert", "amplify", "--checkpoint", path, "--checkout", checkout,
            "--out", tmp_path / "out")  # fmt: skip
    assert not Trap.sprung


def test_points_that_are_no_grid_are_refused():
    with pytest.raises(ValueError, match="are no grid"):
        QueryGrid(np.random.default_rng(0).uniform(-1, 1, (9, 2)))
