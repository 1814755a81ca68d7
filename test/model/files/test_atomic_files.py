"""Files and folders that are whole or not there, and what a damaged JSON file says."""

import pytest

from trajforecast_model.files.atomic import new_folder, remove_leftovers, replacing, temporary_beside, write_atomically
from trajforecast_model.files.json_files import read_object


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "file"
    write_atomically(path, b"old")
    with pytest.raises(OSError, match="full"), replacing(path) as temporary:
        temporary.write_bytes(b"half")
        raise OSError("the disk is full")
    assert path.read_bytes() == b"old" and list(path.parent.iterdir()) == [path]
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new" and list(path.parent.iterdir()) == [path]


def test_a_folder_has_its_name_only_when_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "out"
    with pytest.raises(KeyboardInterrupt), new_folder(path) as folder:
        (folder / "half").write_text("a")
        raise KeyboardInterrupt
    assert not list(path.parent.iterdir())
    with new_folder(path) as folder:
        (folder / "whole").write_text("a")
        assert not path.exists()
    assert list(tmp_path.rglob("*")) == [path.parent, path, path / "whole"]


def test_an_empty_folder_is_filled(tmp_path):
    path = tmp_path / "out"
    path.mkdir()
    with new_folder(path) as folder:
        (folder / "whole").write_text("a")
    assert list(tmp_path.rglob("*")) == [path, path / "whole"]


def test_a_folder_that_holds_something_is_refused_and_kept(tmp_path):
    (tmp_path / "kept").write_text("a")
    with pytest.raises(ValueError, match="exists; give --out a new folder"), new_folder(tmp_path):
        pytest.fail("nothing may be made for nothing")
    assert list(tmp_path.iterdir()) == [tmp_path / "kept"]


def test_leftovers_of_other_files_are_left_alone(tmp_path):
    ours, others = tmp_path / "task.a.hdf5", tmp_path / "task.b.hdf5"
    for file in (ours, others):
        file.write_text("whole")
        temporary_beside(file).write_text("half")
    remove_leftovers([ours, tmp_path / "nowhere" / "file"])
    assert ours.exists() and others.exists()
    assert [path.name.startswith(".task.b.hdf5.") for path in tmp_path.glob(".*")] == [True]


@pytest.mark.parametrize("content", [b"", b'{"half": ', b"\xff\xfe", b"[1, 2]"])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path, content):
    path = tmp_path / "settings.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"settings\.json is damaged \(.+\); delete it"):
        read_object(path, "delete it")
    path.write_text('{"whole": 1}')
    assert read_object(path, "delete it") == {"whole": 1}
