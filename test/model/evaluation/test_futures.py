"""`evaluate --protocol futures`: scenes that begin alike and go on in several ways."""

import json

import numpy as np
import pytest
from tiny_model import tiny_config, write_tiny_checkpoint

from trajforecast_model.cli import main
from trajforecast_model.data.shards import DatasetInfo, ShardDataset, Window, write_info, write_shard
from trajforecast_model.evaluation.futures import Scene, compare_futures, futures_of_scenes
from trajforecast_model.tracks.grid import query_points

GRID = (10, 10)
POINTS = query_points(GRID, (256, 256))


def moved(*velocities) -> np.ndarray:
    """Futures [K, 16, 10, 10, 2] in which everything moves by (x, y) pixels a frame."""
    steps = np.arange(16)[:, None, None, None]
    return np.stack([POINTS + steps * np.array(velocity) for velocity in velocities]).astype(np.float32)


def test_best_of_k_takes_the_nearest_of_all_pairs():
    scenes = [
        Scene.of(moved((4, 0), (0, 4)), moved((-4, 0), (0, 3))),
        Scene.of(moved((4, 0), (0, 4)), moved((4, 0), (9, 9))),
    ]
    best = compare_futures(scenes, [1, 2])["model"]["best_of_k"]["moving_points"]
    mean_square = np.mean(np.arange(16) ** 2)
    # One sample: (-4, 0) is nearest to (0, 4) in the first scene; the second scene's first sample is right.
    assert best["1"] == pytest.approx(32 * mean_square / 2)
    assert best["2"] == pytest.approx(1 * mean_square / 2)


def test_still_points_count_among_all_points_only():
    simulated = moved((4, 0), (0, 4))
    simulated[:, :, 5:] = POINTS[5:]
    sampled = np.repeat(simulated[:1, :1], 16, axis=1).repeat(2, axis=0)
    best = compare_futures([Scene.of(simulated, sampled)] * 2, [1])
    mean_square = np.mean(np.arange(16) ** 2)
    assert best["model"]["best_of_k"] == best["nothing moves"]["best_of_k"]
    assert best["model"]["best_of_k"]["moving_points"]["1"] == pytest.approx(16 * mean_square)
    assert best["model"]["best_of_k"]["all_points"]["1"] == pytest.approx(8 * mean_square)


def test_variance_and_distance_of_motion_tell_one_future_from_many():
    rng = np.random.default_rng(0)
    spread = [moved(*rng.normal(0, 3, (8, 2))) for _ in range(4)]
    others = [moved(*rng.normal(0, 3, (8, 2))) for _ in range(4)]
    same = [np.repeat(futures[:1], 8, axis=0) for futures in others]
    varied = compare_futures([Scene.of(*pair) for pair in zip(spread, others, strict=True)], [8])["model"]
    single = compare_futures([Scene.of(*pair) for pair in zip(spread, same, strict=True)], [8])["model"]
    assert single["scene_sample_variance"] == 0 < varied["scene_sample_variance"]
    assert varied["scene_sample_variance"] == pytest.approx(varied["scene_sample_variance_simulated"], rel=0.7)
    assert single["fvmd_per_scene"]["combined"] > 1.2 * varied["fvmd_per_scene"]["combined"]


def test_simulator_and_model_are_compared_with_half_of_the_futures_where_there_are_four():
    four, three = moved((4, 0), (0, 4), (-4, 0), (0, -4)), moved((4, 0), (0, 4), (-4, 0))
    rows = compare_futures([Scene.of(four, four[::-1])] * 2, [2, 4])
    # Every other future: (4, 0) and (-4, 0); the simulator's others are (0, 4) and (0, -4).
    mean_square = np.mean(np.arange(16) ** 2)
    assert rows["simulator against half"]["best_of_k"]["moving_points"] == {"2": pytest.approx(32 * mean_square)}
    # The model's first two are (0, -4) and (-4, 0), of which the second is there; no more than two are compared.
    assert rows["model against half"]["best_of_k"]["moving_points"] == {"2": 0.0}
    assert not any("half" in name for name in compare_futures([Scene.of(three, three)] * 2, [3]))


def test_a_perfect_model_scores_as_the_simulator_does():
    """Futures in some of which the points move: they count for every row where they move in any."""
    rng = np.random.default_rng(0)

    def futures(count: int) -> np.ndarray:
        return moved(*(rng.normal(0, 4, (count, 2)) * rng.integers(0, 2, (count, 1))))

    rows = compare_futures([Scene.of(futures(8), futures(8)) for _ in range(300)], [1, 4])
    model, simulator = (rows[f"{name} against half"] for name in ("model", "simulator"))
    for points in ("all_points", "moving_points"):
        for k in ("1", "4"):
            assert model["best_of_k"][points][k] == pytest.approx(simulator["best_of_k"][points][k], rel=0.25)
    assert rows["model"]["best_of_k"]["all_points"]["4"] < model["best_of_k"]["all_points"]["4"]


def test_scenes_in_which_nothing_moves_are_refused():
    still = moved((0, 0), (0, 0))
    with pytest.raises(ValueError, match="nothing moves"):
        compare_futures([Scene.of(still, moved((4, 0)))] * 2, [1])


def test_a_baseline_is_refused_by_name(data, tmp_path, capsys):
    (tmp_path / "config.json").write_text('{"baseline": "atm"}')
    command = ["evaluate", "--protocol", "futures", "--checkpoint", str(tmp_path), "--data", str(data), "-k", "2"]
    assert main([*command, "--out", str(tmp_path / "r.json")]) == 2
    assert "is atm, a baseline" in capsys.readouterr().err


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three scenes of three futures each and one of a single future, in the shape that the tiny checkpoint takes."""
    folder = tmp_path_factory.mktemp("futures")
    config = tiny_config()
    info = DatasetInfo(
        "exact", 1, config.num_frames, tuple(config.grid), tuple(config.image_size), config.dt, tuple(config.views)
    )
    write_info(folder, info)
    rng = np.random.default_rng(0)
    points = query_points(info.grid, info.image_size)
    for number, futures in enumerate((3, 3, 3, 1)):
        image = rng.integers(0, 255, (*info.image_size, 3), dtype=np.uint8)
        windows = []
        for future in range(futures):
            steps = np.arange(info.num_frames)[:, None, None, None]
            tracks = (points + steps * rng.normal(0, 2, 2)).astype(np.float32)
            visible = np.ones(tracks.shape[:3], bool)
            windows.append(
                Window("t", f"s{number}_{future}", 0, info.views[0], "push it", image, tracks, visible, info.num_frames)
            )
        write_shard(folder / "val" / f"scene_{number}.arrow", windows, info)
    return folder


def test_windows_of_one_picture_are_a_scene(data):
    assert futures_of_scenes(ShardDataset(data, "val")) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


def test_the_verb_writes_the_report_and_the_table_alike_twice(data, tmp_path, capsys):
    write_tiny_checkpoint(tmp_path / "checkpoint")
    command = ["evaluate", "--protocol", "futures", "--checkpoint", str(tmp_path / "checkpoint"), "--data", str(data)]
    for name in ("first", "second"):
        arguments = ["-k", "1", "2", "--out", str(tmp_path / f"{name}.json"), "--table", str(tmp_path / f"{name}.md")]
        assert main([*command, *arguments]) == 0
    report = json.loads((tmp_path / "first.json").read_text())
    assert report["n_scenes"] == 3 and report["n_simulated"] == [3, 3, 3]
    best = report["rows"]["model"]["best_of_k"]["moving_points"]
    assert best["2"] <= best["1"]
    assert (tmp_path / "first.json").read_bytes() == (tmp_path / "second.json").read_bytes()
    assert "nothing moves" in (tmp_path / "first.md").read_text() and "best of k" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["-k", "1"], "at least 2"),
        (["-k", "2", "--max-windows", "1"], "at least 2"),
        (["-k", "2", "--split", "train"], "train"),
        (["-k", "2", "--plots", "figures"], "draws no figures"),
    ],
)
def test_errors_of_use(data, tmp_path, capsys, arguments, words):
    write_tiny_checkpoint(tmp_path / "checkpoint")
    command = ["evaluate", "--protocol", "futures", "--checkpoint", str(tmp_path / "checkpoint"), "--data", str(data)]
    assert main([*command, *arguments, "--out", str(tmp_path / "r.json")]) == 2
    assert words in capsys.readouterr().err
