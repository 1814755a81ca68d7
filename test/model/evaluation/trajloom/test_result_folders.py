"""`evaluate --protocol trajloom` on files as TrajLoom's official code leaves them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from trajloom_clips import Clips, case_b, random_clips

from trajforecast_model.cli import main

CASE_B = {  # of the official commands
    "flow_tv": 0.56599091,
    "div_curl_energy": 0.12594778,
    "vepe": 13.600691,
    "vepe_first_24": 10.538447,
}


def write_results(root: Path, clips: Clips, order: np.ndarray | None = None, batch: bool = False) -> Path:
    """A folder a clip; `order`: of the points in the files."""
    rows, columns = clips.truth.shape[2:4]
    order = np.arange(rows * columns) if order is None else order
    queries = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).reshape(-1, 2) * clips.spacing

    def points(array: np.ndarray) -> np.ndarray:
        flat = array.reshape(len(array), rows * columns, *array.shape[3:])[:, order]
        return flat[None] if batch else flat

    for number, (truth, forecast, visible) in enumerate(zip(clips.truth, clips.forecast, clips.visible, strict=True)):
        folder = root / "robotap" / f"clip_{number}"
        folder.mkdir(parents=True)
        np.save(folder / "gt_tracks.npy", points(truth).astype(np.float32))
        np.save(folder / "pred_tracks.npy", points(forecast).astype(np.float32))
        np.save(folder / "gt_visibility.npy", points(visible).astype(np.uint8))
        np.save(folder / "pred_visibility.npy", points(visible[::-1]).astype(np.uint8))
        np.save(folder / "query_xy.npy", queries[order].astype(np.int64))
    return root


def evaluated(root: Path, out: Path, *options: str) -> dict:
    assert main(["evaluate", "--protocol", "trajloom", "--data", str(root), "--out", str(out), *options]) == 0
    return json.loads(out.read_text())


def figures(report: dict, points: str = "visible") -> dict:
    return report["views"]["all"]["rows"]["forecast"][points]


@pytest.mark.parametrize("batch", [False, True])
def test_the_verb_gives_the_official_commands_figures_whatever_the_points_order(tmp_path, capsys, batch):
    order = np.random.default_rng(0).permutation(150)
    root = write_results(tmp_path / "results", case_b(), order, batch)
    report = evaluated(root, tmp_path / "r.json", "--table", str(tmp_path / "r.md"))
    found = figures(report)
    assert {name: found[name] for name in CASE_B} == pytest.approx(CASE_B, rel=1e-5)
    of_fvmd = {"velocity": 106.0575, "acceleration": 83.9623, "combined": 227.5007}
    assert found["fvmd"] == pytest.approx(of_fvmd, abs=1e-3)
    of_long = {"velocity": 542.6900, "acceleration": 469.5641, "combined": 1021.1210}
    assert found["fvmd_long"] == pytest.approx(of_long, abs=1e-3)
    everywhere = figures(report, "all_points")
    assert everywhere["flow_tv"] == pytest.approx(0.56446612, rel=1e-5)
    assert everywhere["div_curl_energy"] == pytest.approx(0.12508714, rel=1e-5)
    assert report["views"]["all"]["n_clips"] == 5
    printed = capsys.readouterr().out
    line = next(line for line in printed.splitlines() if line.startswith("forecast "))
    assert line.split()[1:7] == ["227.50", "1.02", "56.60", "125.95", "13.60", "10.54"]
    for paper in ("8999", "35.06", "table 6, TrajLoom, DOPRI5", "63.31", "46.61", "5.63"):
        assert paper in printed and paper in (tmp_path / "r.md").read_text()


def test_clips_of_another_length_and_stride(tmp_path):
    root = write_results(tmp_path / "results", case_b())
    found = figures(evaluated(root, tmp_path / "r.json", "--clip-frames", "24"))
    assert found["fvmd"]["combined"] == pytest.approx(417.1677, abs=1e-3)
    found = figures(evaluated(root, tmp_path / "r.json", "--clip-frames", "24", "--clip-stride", "16"))
    assert found["fvmd"]["combined"] != pytest.approx(417.1677, rel=0.05)
    # More frames than there are: clips are taken whole.
    found = figures(evaluated(root, tmp_path / "r.json", "--clip-frames", "99"))
    assert found["fvmd"] == found["fvmd_long"]


def test_without_query_points_the_grid_is_the_nearest_to_a_square_and_the_spacing_is_32(tmp_path):
    root = write_results(tmp_path / "results", case_b())
    for path in root.rglob("query_xy.npy"):
        path.unlink()
    assert figures(evaluated(root, tmp_path / "r.json"))["flow_tv"] == pytest.approx(0.56599091 / 2, rel=1e-5)
    found = figures(evaluated(root, tmp_path / "r.json", "--spacing", "16"))
    assert found["flow_tv"] == pytest.approx(0.56599091, rel=1e-5)


def test_without_visibility_every_point_counts_and_it_is_said(tmp_path, capsys):
    root = write_results(tmp_path / "results", case_b())
    for path in root.rglob("gt_visibility.npy"):
        path.unlink()
    report = evaluated(root, tmp_path / "r.json", "--clip-frames", "24")
    assert figures(report)["fvmd"]["combined"] == pytest.approx(790.1770, abs=1e-3)
    assert figures(report)["flow_tv"] == pytest.approx(0.56446612, rel=1e-5)
    assert "5 clips have no visibility" in capsys.readouterr().out


def test_a_clip_in_which_nothing_is_visible_is_left_out_of_the_means(tmp_path):
    clips = random_clips(5, 3, 8, 5, 5, 16)
    root = write_results(tmp_path / "results", clips)
    whole = figures(evaluated(root, tmp_path / "r.json"))
    hidden = root / "robotap" / "clip_9"
    hidden.mkdir()
    for name in ("gt_tracks", "pred_tracks", "query_xy"):
        np.save(hidden / f"{name}.npy", np.load(root / "robotap" / "clip_0" / f"{name}.npy"))
    np.save(hidden / "gt_visibility.npy", np.zeros((8, 25), np.uint8))
    report = evaluated(root, tmp_path / "r.json")
    assert report["views"]["all"]["n_clips"] == 4
    found = figures(report)
    for metric in ("flow_tv", "div_curl_energy", "vepe"):
        assert found[metric] == pytest.approx(whole[metric])
    assert found["left_out"] == {"flow_tv": 1, "div_curl_energy": 1}


def test_hidden_positions_need_not_be_known(tmp_path):
    root = write_results(tmp_path / "results", random_clips(5, 3, 8, 5, 5, 16))
    before = figures(evaluated(root, tmp_path / "r.json"))
    for path in root.rglob("gt_tracks.npy"):
        tracks, visible = np.load(path), np.load(path.parent / "gt_visibility.npy")
        tracks[visible == 0] = np.nan
        np.save(path, tracks)
    report = evaluated(root, tmp_path / "r.json")
    assert figures(report) == before and figures(report, "all_points") is None


def test_one_clip_has_no_fvmd_long(tmp_path, capsys):
    root = write_results(tmp_path / "results", case_b())
    found = figures(evaluated(root / "robotap" / "clip_0", tmp_path / "r.json"))
    assert found["fvmd_long"] is None and found["fvmd"]["combined"] > 0


def save_nan(folder: Path) -> None:
    tracks = np.load(folder / "gt_tracks.npy")
    tracks[np.load(folder / "gt_visibility.npy") > 0] = np.nan
    np.save(folder / "gt_tracks.npy", tracks)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "gt_tracks.npy").unlink(), "gt_tracks.npy does not exist"),
        (lambda folder: (folder / "gt_tracks.npy").write_bytes(b"no array"), "not a readable .npy file"),
        (lambda folder: np.save(folder / "gt_tracks.npy", np.array([{}])), "not a readable .npy file"),
        (lambda folder: np.save(folder / "pred_tracks.npy", np.zeros((8, 25, 3))), r"expected tracks \[T, N, 2\]"),
        (lambda folder: np.save(folder / "pred_tracks.npy", np.zeros((8, 24, 2))), "expected .* alike"),
        (lambda folder: np.save(folder / "gt_visibility.npy", np.zeros((25, 8))), r"expected visibility \[8, 25\]"),
        (lambda folder: np.save(folder / "query_xy.npy", np.zeros((25, 2))), "are no grid"),
        (lambda folder: np.save(folder / "query_xy.npy", np.zeros((24, 2))), r"expected \[25, 2\] query points"),
        (lambda folder: np.save(folder / "pred_tracks.npy", np.full((8, 25, 2), "x")), "an array of numbers"),
        (save_nan, "not finite at points that are truly visible"),
    ],
)
def test_damaged_results_are_one_message_that_names_the_file(tmp_path, capsys, damage, message):
    root = write_results(tmp_path / "results", random_clips(5, 2, 8, 5, 5, 16))
    damage(root / "robotap" / "clip_1")
    assert main(["evaluate", "--protocol", "trajloom", "--data", str(root), "--out", str(tmp_path / "r.json")]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "clip_1" in error and re.search(message, error)
    assert not (tmp_path / "r.json").exists()


@pytest.mark.parametrize(
    ("clips", "options", "message"),
    [
        ((5, 2, 8, 5, 5, 16), ["--clip-frames", "3"], "clip-frames: got 3"),
        ((5, 2, 8, 5, 5, 16), ["--clip-stride", "0"], "clip-stride: got 0"),
        ((5, 2, 8, 5, 5, 16), ["--spacing", "-1"], "spacing: got -1.0"),
        ((5, 2, 8, 5, 5, 16), ["--checkpoint", "nothing_moves"], "--checkpoint"),
        ((5, 2, 8, 5, 5, 16), ["--max-windows", "3"], "--max-windows"),
        ((5, 2, 8, 5, 5, 16), ["-k", "8"], "one sample of each clip"),
        ((5, 2, 8, 4, 5, 16), [], "5 x 5 points"),
        ((5, 2, 3, 5, 5, 16), [], "at least 4 frames"),
    ],
)
def test_errors_of_use(tmp_path, capsys, clips, options, message):
    root = write_results(tmp_path / "results", random_clips(*clips))
    command = ["evaluate", "--protocol", "trajloom", "--data", str(root), "--out", str(tmp_path / "r.json")]
    assert main([*command, *options]) == 2
    assert message in capsys.readouterr().err


def test_clips_of_other_lengths_and_folders_of_nothing_are_refused(tmp_path, capsys):
    root = write_results(tmp_path / "results", random_clips(5, 2, 8, 5, 5, 16))
    write_results(tmp_path / "longer", random_clips(5, 1, 9, 5, 5, 16))
    (tmp_path / "longer").rename(root / "zz")
    command = ["evaluate", "--protocol", "trajloom", "--out", str(tmp_path / "r.json"), "--data"]
    assert main([*command, str(root)]) == 2
    assert "9 frames of 5 x 5 points" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main([*command, str(tmp_path / "empty")]) == 2
    assert "pred_tracks.npy" in capsys.readouterr().err
