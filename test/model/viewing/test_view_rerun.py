"""`trajforecast view --rerun`, read again by Rerun's own reader where rerun-sdk (extra `view`) is installed."""

import sys

import cv2
import numpy as np
import pytest
from synthetic_shards import write_synthetic_data
from test_view import FRAMES, GRID, save, tracks, view


@pytest.fixture
def rerun():
    return pytest.importorskip("rerun", exc_type=ModuleNotFoundError)


def contents_of(path) -> dict[str, list[dict]]:
    """By entity, the rows in the order of time: each column's value."""
    from rerun.chunk import RrdReader

    rows: dict[str, list[dict]] = {}
    reader = RrdReader(path)
    for chunk in reader.stream(store=reader.recordings()[0]):
        batch = chunk.to_record_batch()
        columns = {name: batch.column(name) for name in batch.schema.names if not name.startswith("rerun.controls")}
        for row in range(chunk.num_rows):
            rows.setdefault(str(chunk.entity_path), []).append({n: column[row] for n, column in columns.items()})
    for of_entity in rows.values():
        of_entity.sort(key=lambda row: row["future"].value if "future" in row else 0)
    return rows


def test_a_recording_holds_every_line_of_a_forecast_over_its_picture(rerun, tmp_path):
    assert view(save(tmp_path / "a.npz"), save(tmp_path / "b.npz", seed=7), "--rerun") == 0
    rows = contents_of(tmp_path / "a.rrd")
    assert rows["/moment_0/instruction"][0]["TextDocument:text"].as_py() == ['push </script> the "disc" & stop']
    assert not (tmp_path / "a.html").exists()
    for number, name in enumerate(("side", "effector")):
        picture = rows[f"/moment_0/{name}/picture"][0]
        [blob] = picture["EncodedImage:blob"].as_py()
        assert cv2.imdecode(np.array(blob, np.uint8), cv2.IMREAD_COLOR).shape == (96, 128, 3)
        for model, seed in (("a", 0), ("b", 7)):
            expected = tracks(3, seed + number)
            lines = rows[f"/moment_0/{name}/{model}/samples"]
            assert [row["future"].value / 1e9 for row in lines] == pytest.approx([0.1 * t for t in range(FRAMES)])
            for frame in range(1, FRAMES):
                pieces = np.array(lines[frame]["LineStrips2D:strips"].as_py())  # [3 * moving points, 2, 2]
                moving = expected[:, frame - 1 : frame + 1, :, GRID[1] // 2 :].reshape(3, 2, -1, 2)
                wanted = np.moveaxis(moving, 1, 2).reshape(-1, 2, 2)
                assert len(pieces) == len(wanted)
                order, wanted_order = (np.lexsort(p.reshape(-1, 4).round(3).T) for p in (pieces, wanted))
                np.testing.assert_allclose(pieces[order], wanted[wanted_order], atol=1e-3)
            assert len(rows[f"/moment_0/{name}/{model}/mean"]) == FRAMES


def test_a_recording_of_prepared_windows_has_a_tab_a_moment_and_the_truth(rerun, tmp_path):
    from rerun.chunk import RrdReader

    write_synthetic_data(tmp_path / "data", train=1, val=3)
    out = tmp_path / "windows.rrd"
    assert view(tmp_path / "data", "--moments", 2, "--rerun", "--out", out) == 0
    rows = contents_of(out)
    assert {entity.split("/")[1] for entity in rows if entity.startswith("/moment")} == {"moment_0", "moment_1"}
    assert all(row["LineStrips2D:strips"].is_valid for row in rows["/moment_1/side/truth"])
    assert len(RrdReader(out).blueprints()) == 1
    assert not list(tmp_path.glob(".*"))  # nothing half-written is left


def test_without_rerun_it_is_told_what_to_install_before_anything_is_forecast(tmp_path, capsys, monkeypatch):
    for module in [name for name in sys.modules if name.split(".")[0] == "rerun" or name.endswith("viewing.recording")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "rerun", None)
    write_synthetic_data(tmp_path / "data", train=1, val=1)
    assert view(tmp_path / "data", "--rerun", "--checkpoint", "libero_object_tiny", "--out", tmp_path / "d.rrd") == 2
    assert capsys.readouterr().err.strip() == (
        "trajforecast view: error: rerun is not installed; install it: pip install -e '.[view]'"
    )
