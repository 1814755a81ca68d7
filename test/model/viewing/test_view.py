"""`trajforecast view`: pages that a browser opens from disk, looked at in one."""

import base64
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from browser import needs_browser, results_of, screenshot
from synthetic_shards import write_synthetic_data

from trajforecast_model.cli import main
from trajforecast_model.tracks.grid import query_points
from trajforecast_model.viewing.page import page_of_scenes
from trajforecast_model.viewing.scenes import Scene, SeenView

SIZE, GRID, FRAMES = (96, 128), (12, 16), 5


def tracks(
    k: int, seed: int = 0, moving: bool = True, grid: tuple[int, int] = GRID, frames: int = FRAMES
) -> np.ndarray:
    """float32 [k, T, H, W, 2]: the left half stays, the right half goes somewhere."""
    ends = np.random.default_rng(seed).uniform(5, 30, (k, 1, *grid, 2)) * moving
    ends[:, :, :, : grid[1] // 2] = 0
    return (query_points(grid, SIZE) + np.linspace(0, 1, frames)[:, None, None, None] * ends).astype(np.float32)


def save(path: Path, seed: int = 0, views: tuple[str, ...] = ("side", "effector"), **changes) -> Path:
    picture = cv2.imencode(".jpg", np.full((*SIZE, 3), (30, 90, 60), np.uint8))[1]
    arrays = {
        "tracks": np.stack([tracks(3, seed + number) for number in range(len(views))]),
        "views": np.array(views),
        "instruction": np.array('push </script> the "disc" & stop'),
        "dt": np.array(0.1),
        **{f"picture_{view}": picture for view in views},
    } | changes
    path.parent.mkdir(exist_ok=True)
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


def data_of(page: bytes) -> dict:
    return json.loads(re.search(r'id="data">(.*?)</script>', page.decode(), re.DOTALL)[1])


def view(*arguments: object) -> int:
    return main(["view", *map(str, arguments)])


PAGE = """
const set = (id, value) => {
  const element = control(id);
  element.type === "checkbox" ? (element.checked = value) : (element.value = value);
  element.dispatchEvent(new Event(element.type === "range" ? "input" : "change"));
};
const pixels = () => {
  const { canvas } = player.panels[0];
  return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.join();
};
"""


@needs_browser
def test_a_forecast_is_drawn_and_every_switch_changes_the_picture(tmp_path):
    page = tmp_path / "f.html"
    assert view(save(tmp_path / "f.npz")) == 0 and page.is_file()
    results = results_of(page, PAGE + """
      await new Promise((resolve) => setTimeout(resolve, 200));
      results.panels = player.panels.length;
      results.pictures = player.panels.every((panel) => panel.picture !== null);
      results.instruction = control("instruction").textContent;
      results.seconds = control("seconds").textContent;
      const seen = [];
      seen.push(pixels());
      for (const [id, value] of [["samples", false], ["mean", false], ["samples", true], ["which", "1"], ["time", 1], ["points", 10]]) {
        set(id, value);
        seen.push(pixels());
      }
      results.different = new Set(seen).size;
      step(1);
      results.stepped = control("time").value;
      const box = document.querySelector('[data-view="effector"]');
      box.checked = false;
      box.dispatchEvent(new Event("change"));
      results.left = player.panels.map((panel) => panel.view.name);
      results.truth = control("truth-switch").hidden;
    """)  # fmt: skip
    assert results == {
        "errors": [], "panels": 2, "pictures": True, "instruction": '“push </script> the "disc" & stop”',
        "seconds": "0.40 s", "different": 7, "stepped": "2", "left": ["side"], "truth": True,
    }  # fmt: skip
    screenshot(page, tmp_path / "shot.png")
    shot = cv2.imread(str(tmp_path / "shot.png"))
    assert shot.shape == (900, 1200, 3)
    saturated = cv2.cvtColor(shot, cv2.COLOR_BGR2HSV)[..., 1] > 200
    assert saturated.mean() > 0.01, "no coloured lines"


@needs_browser
def test_two_models_are_judged_blindly_and_rated(tmp_path):
    names = [f"moment_{number}.npz" for number in range(4)]
    for model, seed in (("alpha", 0), ("beta", 50)):
        for name in names:
            save(tmp_path / model / name, seed)
    page = tmp_path / "study.html"
    assert view(tmp_path / "alpha", tmp_path / "beta", "--blind", "--out", page) == 0
    results = results_of(page, """
      results.before = document.body.innerText.includes("alpha") || document.body.innerText.includes("beta");
      results.sides = [];
      for (const choice of ["left", "right", "same", "left"]) {
        results.sides.push(player.columns[0]);
        control(choice).click();
      }
      results.order = study.questions.map(({ scene }) => scene);
      results.answers = study.answers;
      results.shown = control("result").innerText;
      results.saved = JSON.parse(decodeURIComponent(control("result").querySelector("a").href.split(",")[1]));
      document.dispatchEvent(new KeyboardEvent("keydown", { key: "1" }));
      results.counted = study.answers.length;
    """, "#seed=3")  # fmt: skip
    assert results["errors"] == [] and not results["before"] and results["counted"] == 4
    assert sorted(results["order"]) == [0, 1, 2, 3] and results["order"] != [0, 1, 2, 3]
    expected, wins = {"alpha": 1000.0, "beta": 1000.0}, {"alpha": 0, "beta": 0}
    for answer, first, choice in zip(
        results["answers"], results["sides"], ("left", "right", "same", "left"), strict=True
    ):
        assert answer["left"] == first
        better = {"left": answer["left"], "right": answer["right"], "same": None}[choice]
        assert answer["better"] == better
        score = 0.5 if better is None else float(better == "alpha")
        change = 32 * (score - 1 / (1 + 10 ** ((expected["beta"] - expected["alpha"]) / 400)))
        expected = {"alpha": expected["alpha"] + change, "beta": expected["beta"] - change}
        wins |= {} if better is None else {better: wins[better] + 1}
    assert results["saved"]["ratings"] == pytest.approx(expected) and results["saved"]["wins"] == wins
    assert "alpha" in results["shown"] and f"{expected['beta']:.1f}" in results["shown"]


@needs_browser
def test_prepared_windows_are_shown_with_their_truth(tmp_path):
    write_synthetic_data(tmp_path / "data", train=1, val=3)
    page = tmp_path / "data.html"
    assert view(tmp_path / "data", "--moments", 2) == 0
    results = results_of(page, PAGE + """
      results.moments = [...control("scene").options].map((option) => option.text);
      set("scene", "1");
      const on = pixels();
      set("truth", false);
      results.changes = on !== pixels();
      results.shown = [player.scene, player.panels.length, control("samples").parentElement.hidden];
    """)  # fmt: skip
    assert results["errors"] == [] and results["changes"] and results["shown"] == [1, 2, True]
    assert len(results["moments"]) == 2 and all("frame 0" in moment for moment in results["moments"])


def test_a_checkpoint_forecasts_prepared_windows_beside_their_truth(tmp_path, tiny_checkpoint):
    write_synthetic_data(tmp_path / "data", train=1, val=1)
    page = tmp_path / "p.html"
    options = ["--moments", 1, "-k", 2, "--checkpoint", tiny_checkpoint, "--out", page]
    assert view(tmp_path / "data", *options) == 0
    seen = data_of(page.read_bytes())["scenes"][0]["views"][0]
    assert seen["forecasts"][tiny_checkpoint.name]["samples"] == 2 and seen["truth"]


def test_tracks_arrive_to_a_hundredth_of_a_pixel():
    samples, truth = tracks(3), tracks(1, seed=9)[0]
    page = page_of_scenes("t", [Scene("", "", 0.05, (SeenView("side", None, {"m": samples}, truth),))])
    seen = data_of(page)["scenes"][0]["views"][0]
    starts = np.frombuffer(base64.b64decode(seen["starts"]), "<f4").reshape(-1, 2)
    still = np.frombuffer(base64.b64decode(seen["still"]), "<f4").reshape(-1, 2)
    assert len(starts) == len(still) == np.prod(GRID) / 2
    for encoded, expected in ((seen["forecasts"]["m"]["offsets"], samples), (seen["truth"], truth[None])):
        offsets = np.frombuffer(base64.b64decode(encoded), "<i2").reshape(len(expected), len(starts), FRAMES, 2)
        shown = starts[:, None] + offsets / seen["scale"]
        order = np.lexsort(starts.T)
        points = expected[:, 0].reshape(len(expected), -1, 2)[0]
        moving = np.isin(points.view("f4,f4").ravel(), starts.copy().view("f4,f4").ravel())
        of_grid = np.moveaxis(expected.reshape(len(expected), FRAMES, -1, 2)[:, :, moving], 1, 2)
        np.testing.assert_allclose(shown[:, order], of_grid[:, np.lexsort(points[moving].T)], atol=0.01)


def test_a_page_stays_small_where_everything_moves():
    dense = np.concatenate([tracks(8, grid=(64, 64), frames=16)] * 2, axis=-2)[..., 32:96, :]
    picture = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    views = tuple(SeenView(name, picture, {"m": dense}) for name in ("side", "effector"))
    assert len(page_of_scenes("t", [Scene("", "", 0.05, views)])) < 5e6


def test_a_page_asks_for_nothing_outside_itself(tmp_path):
    save(tmp_path / "f.npz")
    assert view(tmp_path / "f.npz") == 0
    text = (tmp_path / "f.html").read_text()
    assert not re.search(r"https?:|//cdn|\bimport\b|fetch\(|url\(", text)
    assert re.findall(r'(?:src|href)="([^"]*)"', text) == ["data:,"]


def test_reports_stand_side_by_side(tmp_path, capsys, monkeypatch):
    from trajforecast_model.evaluation.reports.tables import Table
    from trajforecast_model.verbs import viewing

    monkeypatch.setattr(
        viewing, "compare", lambda paths: [Table("errors <px>", ["", "a", "b"], [["k 1", "1.5", "2.5"]])]
    )
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text("{}")
    assert view(tmp_path / "a.json", tmp_path / "b.json") == 0
    text = (tmp_path / "a.html").read_text()
    assert (
        "<h2>errors &lt;px&gt;</h2>" in text and "<td>2.5</td>" in text and "<title>a.json and b.json</title>" in text
    )


BAD = {
    "missing": (["none.npz"], "none.npz does not exist"),
    "no npz": (["text.npz"], "text.npz is no .npz file, or it is damaged"),
    "another npz": (["other.npz"], "has no tracks and no views"),
    "objects": (["objects.npz"], "objects.npz is no .npz file, or it is damaged"),
    "flat": (["flat.npz"], "expected [V, k, T, H, W, 2]"),
    "not finite": (["nan.npz"], "not finite"),
    "damaged picture": (["picture.npz"], "damaged picture"),
    "empty folder": (["empty"], "no forecasts (.npz), and no dataset.json either"),
    "other views": (["f.npz", "one_view.npz"], "of the same moment"),
    "twice": (["f.npz", "f.npz"], "more than once"),
    "mixed": (["f.npz", "empty"], "got files and folders"),
    "one model blindly": (["f.npz", "--blind"], "expected two to choose between"),
    "checkpoint": (["f.npz", "--checkpoint", "x"], "no dataset.json"),
    "out": (["f.npz", "--out", "f.png"], "ends in .html"),
    "image of no view": (["f.npz", "--image", "top=picture.png"], "view 'top' is not in"),
    "one report": (["a.json"], "expected two or more"),
    "blind reports": (["a.json", "a.json", "--blind"], "reports have no forecasts"),
    "reports for rerun": (["a.json", "a.json", "--rerun"], "rerun: reports have no forecasts"),
    "a page for rerun": (["f.npz", "--rerun", "--out", "f.html"], "ends in .rrd"),
    "a recording as a page": (["f.npz", "--out", "f.rrd"], "ends in .html"),
    "blind for rerun": (["f.npz", "--rerun", "--blind"], "only a page asks which forecast is better"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_shown_is_told_in_one_line(case, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "f.npz")
    save(tmp_path / "one_view.npz", views=("side",))
    save(tmp_path / "flat.npz", tracks=np.zeros((2, 3, 4, 2), np.float32))
    save(tmp_path / "nan.npz", tracks=np.full((2, 3, FRAMES, *GRID, 2), np.nan, np.float32))
    save(tmp_path / "picture.npz", picture_side=np.zeros(10, np.uint8))
    np.savez(tmp_path / "objects.npz", tracks=np.array([{}], dtype=object), views=np.array(["side"]))
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    cv2.imwrite("picture.png", np.zeros((*SIZE, 3), np.uint8))
    Path("text.npz").write_text("hello")
    Path("a.json").write_text("{}")
    Path("empty").mkdir()
    arguments, message = BAD[case]
    assert view(*arguments) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("trajforecast view: error: ") and message in error and "\n" not in error
    assert not [*tmp_path.glob("*.html"), *tmp_path.glob("*.rrd")]


def test_a_forecast_without_pictures_takes_the_ones_that_are_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "f.npz", picture_side=None, picture_effector=None, dt=None, instruction=None)
    cv2.imwrite("a.png", np.full((*SIZE, 3), 90, np.uint8))
    assert view("f.npz", "--image", "side=a.png") == 0
    side, effector = data_of(Path("f.html").read_bytes())["scenes"][0]["views"]
    assert side["picture"].startswith("data:image/jpeg;base64,") and effector["picture"] is None
    assert (effector["height"], effector["width"]) == pytest.approx(SIZE, abs=1)
