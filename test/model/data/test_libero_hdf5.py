"""Demos in LIBERO's layout: which state an image belongs to, which way is up, and every kind of broken file."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from trajforecast_model.data.sources.find import find_sources
from trajforecast_model.data.sources.libero_hdf5 import LiberoFile

FRAMES = 6
INSTRUCTION = "pick up the milk and place it in the basket"
FILE_NAME = "pick_up_the_milk_and_place_it_in_the_basket_demo.hdf5"


def write_file(path: Path, demos=("demo_0",), images: bool = True, attributes: bool = True) -> Path:
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        if attributes:
            data.attrs["problem_info"] = json.dumps({"language_instruction": INSTRUCTION})
        for name in demos:
            demo = data.create_group(name)
            demo.attrs["model_file"] = "<mujoco/>"
            demo["states"] = rng.normal(size=(FRAMES, 11))
            if images:
                for dataset in ("agentview_rgb", "eye_in_hand_rgb"):
                    demo[f"obs/{dataset}"] = stored_images()
    return path


def stored_images() -> np.ndarray:
    """As a released file holds them. As seen: red corner top left, green corner top right; blue is the number."""
    upright = np.zeros((FRAMES, 8, 8, 3), np.uint8)
    upright[:, 0, 0, 0] = 255
    upright[:, 0, 7, 1] = 255
    upright[..., 2] = np.arange(FRAMES)[:, None, None]
    return upright[:, ::-1]


def test_images_are_turned_upright_without_mirroring(tmp_path):
    demo = LiberoFile.open(write_file(tmp_path / FILE_NAME)).read("demo_0")
    for view in ("side", "effector"):
        image = demo.image(view, 1)
        assert image[0, 0, 0] == 255, "what is stored at the bottom left is seen at the top left"
        assert image[0, 7, 1] == 255, "left and right stay as they are"
        assert image[7, :, :2].max() == 0


def test_the_image_of_a_state_is_the_one_taken_after_the_action_before(tmp_path):
    demo = LiberoFile.open(write_file(tmp_path / FILE_NAME)).read("demo_0")
    assert demo.image("side", 0) is None, "no action came before the first state"
    for frame in range(1, FRAMES):
        assert demo.image("side", frame)[4, 4, 2] == frame - 1


def test_states_and_words_of_a_demo(tmp_path):
    path = write_file(tmp_path / FILE_NAME)
    demo = LiberoFile.open(path).read("demo_0")
    assert (demo.task, demo.name, demo.instruction) == (FILE_NAME.removesuffix("_demo.hdf5"), "demo_0", INSTRUCTION)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(demo.states, file["data/demo_0/states"])


def test_a_file_may_hold_states_alone(tmp_path):
    demo = LiberoFile.open(write_file(tmp_path / FILE_NAME, images=False)).read("demo_0")
    assert demo.images == {} and demo.image("side", 3) is None


@pytest.mark.parametrize("missing", ["states", "model_file"])
def test_images_alone_are_a_demo_for_point_trackers(tmp_path, missing):
    """Files made anew from the released ones lack the scene, or the states as well."""
    path = write_file(tmp_path / FILE_NAME)
    with h5py.File(path, "r+") as file:
        demo = file["data/demo_0"]
        holder = demo if missing == "states" else demo.attrs
        del holder[missing]
    first = 0 if missing == "states" else 1
    demo = LiberoFile.open(path).read("demo_0")
    assert list(demo.images["side"]) == list(range(first, FRAMES))
    assert [image[4, 4, 2] for image in demo.images["side"].values()] == list(range(FRAMES - first))


@pytest.mark.parametrize(
    "name",
    [FILE_NAME, "LIVING_ROOM_SCENE2_" + FILE_NAME, "KITCHEN_SCENE10_" + FILE_NAME],
    ids=["plain", "living", "kitchen"],
)
def test_without_attributes_the_instruction_comes_from_the_file_name(tmp_path, name):
    assert LiberoFile.open(write_file(tmp_path / name, attributes=False)).read("demo_0").instruction == INSTRUCTION


def test_demos_are_in_natural_order(tmp_path):
    path = write_file(tmp_path / FILE_NAME, demos=[f"demo_{number}" for number in range(12)], images=False)
    assert LiberoFile.open(path).names() == [f"demo_{number}" for number in range(12)]


def test_files_are_found_in_folders_in_natural_order_and_unfinished_ones_are_not(tmp_path, capsys):
    for name in ("b10_demo.hdf5", "b9_demo.hdf5", "inside/a_demo.hdf5", ".unfinished/c_demo.hdf5", "b11.h5"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_file(tmp_path / name, images=False)
    with h5py.File(tmp_path / "notes.hdf5", "w") as file:
        file["notes"] = 1
    assert [source.place.name for source in find_sources([tmp_path])] == [
        "a_demo.hdf5",
        "b9_demo.hdf5",
        "b10_demo.hdf5",
        "b11.h5",
    ]
    assert "left out, since they hold no demos: notes.hdf5" in capsys.readouterr().err


def test_a_file_given_twice_counts_once(tmp_path):
    path = write_file(tmp_path / FILE_NAME, images=False)
    assert [source.place for source in find_sources([path, tmp_path, path])] == [path]


def test_two_files_of_one_task_are_refused(tmp_path):
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        write_file(tmp_path / folder / FILE_NAME, images=False)
    with pytest.raises(ValueError, match=r"first.*second.*same task"):
        find_sources([tmp_path])


def test_a_path_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere.*does not exist"):
        find_sources([tmp_path / "nowhere"])


def test_a_folder_without_demos_is_named(tmp_path):
    with pytest.raises(ValueError, match=str(tmp_path)):
        find_sources([tmp_path])


def test_task_name_drops_the_ending():
    assert LiberoFile.open(Path("/x/open_the_drawer_demo.hdf5")).task == "open_the_drawer"


def test_fingerprints_tell_other_demos_of_the_same_task_apart(tmp_path):
    path = write_file(tmp_path / FILE_NAME, images=False)
    source = LiberoFile.open(path)
    before = source.fingerprint("demo_0")
    assert source.fingerprint("demo_0") == before
    with h5py.File(path, "r+") as file:
        file["data/demo_0/states"][-1] += 1e-9
    assert source.fingerprint("demo_0") != before


class TestBrokenFiles:
    """Each is a ValueError that names the file, and the demo where one is meant."""

    def test_empty(self, tmp_path):
        path = tmp_path / FILE_NAME
        path.touch()
        with pytest.raises(ValueError, match=FILE_NAME):
            LiberoFile.open(path).names()

    @pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
    def test_truncated(self, tmp_path, share):
        path = write_file(tmp_path / FILE_NAME)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ValueError, match=FILE_NAME):
            LiberoFile.open(path).read(LiberoFile.open(path).names()[0])

    def test_not_hdf5(self, tmp_path):
        path = tmp_path / FILE_NAME
        path.write_text("a web page that says 404\n" * 100)
        with pytest.raises(ValueError, match=FILE_NAME):
            LiberoFile.open(path).names()

    def test_without_demos(self, tmp_path):
        with pytest.raises(ValueError, match="no demos"):
            LiberoFile.open(write_file(tmp_path / FILE_NAME, demos=())).names()

    @pytest.mark.parametrize("place", ["data", "data/demo_0"])
    def test_a_number_where_a_group_should_be(self, tmp_path, place):
        with h5py.File(tmp_path / FILE_NAME, "w") as file:
            file[place] = 3
        source = LiberoFile.open(tmp_path / FILE_NAME)
        with pytest.raises(ValueError, match=FILE_NAME):
            source.read(source.names()[0])

    def test_with_nothing_to_see_or_replay(self, tmp_path):
        path = write_file(tmp_path / FILE_NAME, images=False)
        with h5py.File(path, "r+") as file:
            del file["data/demo_0/states"]
        with pytest.raises(ValueError, match=rf"{FILE_NAME}: demo_0 lacks both states and images"):
            LiberoFile.open(path).read("demo_0")

    @pytest.mark.parametrize(
        "states",
        [np.zeros((0, 11)), np.zeros((1, 11)), np.zeros(11), np.full((4, 11), np.nan)],
        ids=["none", "one", "flat", "nan"],
    )
    def test_states_that_cannot_be_replayed(self, tmp_path, states):
        path = write_file(tmp_path / FILE_NAME, images=False)
        with h5py.File(path, "r+") as file:
            del file["data/demo_0/states"]
            file["data/demo_0/states"] = states
        with pytest.raises(ValueError, match="demo_0: states"):
            LiberoFile.open(path).read("demo_0")

    def test_no_states_have_no_fingerprint(self, tmp_path):
        path = write_file(tmp_path / FILE_NAME, images=False)
        with h5py.File(path, "r+") as file:
            del file["data/demo_0/states"]
            file["data/demo_0/states"] = np.zeros((0, 11))
        with pytest.raises(ValueError, match=rf"{FILE_NAME}: demo_0 is damaged"):
            LiberoFile.open(path).fingerprint("demo_0")

    @pytest.mark.parametrize(
        "images",
        [
            np.zeros((FRAMES - 2, 8, 8, 3), np.uint8),
            np.zeros((FRAMES, 8, 8, 4), np.uint8),
            np.zeros((FRAMES, 8, 8, 3), np.float32),
        ],
        ids=["too few", "four channels", "float"],
    )
    def test_images_of_another_shape(self, tmp_path, images):
        path = write_file(tmp_path / FILE_NAME)
        with h5py.File(path, "r+") as file:
            del file["data/demo_0/obs/agentview_rgb"]
            file["data/demo_0/obs/agentview_rgb"] = images
        with pytest.raises(ValueError, match="agentview_rgb"):
            LiberoFile.open(path).read("demo_0")
