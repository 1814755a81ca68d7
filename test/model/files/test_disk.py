"""A full disk is told in one line, before a large write where that can be known."""

import errno
import pickle

import pytest

from trajforecast_model.files.atomic import replacing
from trajforecast_model.files.disk import DiskFull, RoomForTheRest, check_room


def test_what_does_not_fit_is_refused_with_both_sizes(tmp_path):
    check_room(tmp_path / "not" / "there" / "yet", 0, "nothing")
    with pytest.raises(
        DiskFull, match=r"the disk is full: the whole world takes 1099511627776\.0 MiB, [\d.]+ MiB are free"
    ):
        check_room(tmp_path / "not" / "there" / "yet", 2**60, "the whole world")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_write_that_finds_the_disk_full_names_its_file(number, tmp_path):
    told = f"the disk is full: {tmp_path}/file could not be written"
    with pytest.raises(DiskFull, match=told) as raised, replacing(tmp_path / "file"):
        raise OSError(number, "No space left on device")
    assert not list(tmp_path.iterdir())
    other = pickle.loads(pickle.dumps(raised.value))  # as a worker process sends it
    assert (str(other), other.errno) == (str(raised.value), errno.ENOSPC)


def test_other_errors_of_writing_stay_what_they_are(tmp_path):
    with pytest.raises(OSError, match="Input/output error"), replacing(tmp_path / "file"):
        raise OSError(errno.EIO, "Input/output error")


def test_many_files_are_stopped_early_where_the_rest_cannot_fit(tmp_path):
    files = [tmp_path / str(number) for number in range(8)]
    for file in files:
        file.write_bytes(bytes(1000))
    room = RoomForTheRest(tmp_path, files[:7], to_come=2**50)
    room.look()  # too few to judge by
    room.written(tmp_path / "no file came of that job")
    with pytest.raises(DiskFull, match="what is still to be written"):
        room.written(files[7])
    RoomForTheRest(tmp_path, files, to_come=3).look()
