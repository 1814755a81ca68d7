"""Files of a pack in parts, each small enough for the way it goes: tar files of gzipped members, named part_01_of_03.tar.

A member names a file of the unpacked folder, with .gz behind it. Every part says which pack it is of.
"""

import gzip
import io
import json
import re
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from trajforecast_model.files.atomic import write_atomically
from trajforecast_model.files.json_files import read_object

PACK_FILE = "pack.json"
_BLOCK, _RECORD = tarfile.BLOCKSIZE, tarfile.RECORDSIZE
_NAME = re.compile(r"part_(\d+)_of_(\d+)\.tar")
_UNPACKED = "unpacked"  # a file for each part that is done


class PartsWriter:
    """Writes parts of at most `part_size` bytes each into a folder."""

    def __init__(self, folder: Path, part_size: int, pack: dict):
        """pack: tells the pack from others, and comes first in every part."""
        self._folder, self._part_size = folder, part_size
        self._pack = (json.dumps(pack, indent=2) + "\n").encode()
        self._parts: list[Path] = []
        self._tar: tarfile.TarFile | None = None
        self._size = 0
        self.bytes = 0  # of all that was added, in all parts

    def add(self, files: dict[str, bytes]) -> None:
        """These files together in one part. Raises ValueError where they do not fit one."""
        members = {f"{name}.gz": gzip.compress(data, mtime=0) for name, data in files.items()}
        size = sum(_stored_size(data) for data in members.values())
        if self._tar is None or self._size + size > self._part_size:
            self._next_part()
        if self._size + size > self._part_size:
            raise ValueError(
                f"part-size: {next(iter(files))} and what belongs to it need {self._size + size:,} bytes, more than a part of "
                f"{self._part_size:,}; give a larger --part-size"
            )
        for name, data in members.items():
            self._write(name, data)
        self.bytes += size

    def finish(self) -> list[Path]:
        """The parts, which now have their names."""
        self._close()
        return [part.rename(part.with_name(f"{part.stem}_of_{len(self._parts):02d}.tar")) for part in self._parts]

    def _next_part(self) -> None:
        self._close()
        self._parts.append(self._folder / f"part_{len(self._parts) + 1:02d}.tar")
        self._tar = tarfile.open(self._parts[-1], "w")  # noqa: SIM115  closed with the next part
        self._size = _RECORD  # what ends a tar file
        self._write(f"{PACK_FILE}.gz", gzip.compress(self._pack, mtime=0))

    def _write(self, name: str, data: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        self._tar.addfile(member, io.BytesIO(data))
        self._size += _stored_size(data)

    def _close(self) -> None:
        if self._tar is not None:
            self._tar.close()


def unpack(parts: list[Path], folder: Path) -> list[str]:
    """Unpacks those parts that `folder` does not have yet.

    Returns:
        The names of the pack's parts that are not there; the first one holds what all the others need.

    Raises:
        ValueError: where a part is damaged, or of another pack than the folder.
    """
    if not parts:
        raise ValueError(f"no part of a pack is there to unpack into {folder}; `trajforecast pack` writes them")
    expected: set[str] = set()
    for part in parts:
        named = _NAME.fullmatch(part.name)
        if named is None:
            raise ValueError(f"{part} is no part of a pack; expected a name like part_01_of_03.tar")
        number = int(named[2])
        expected |= {f"part_{n:02d}_of_{number:02d}.tar" for n in range(1, number + 1)}
        done = folder / _UNPACKED / part.name
        if not done.exists():
            _unpack_part(part, folder)
            write_atomically(done, b"")
    return sorted(name for name in expected if not (folder / _UNPACKED / name).exists())


def _unpack_part(part: Path, folder: Path) -> None:
    try:
        with tarfile.open(part) as tar:
            for member in tar:
                name = PurePosixPath(member.name.removesuffix(".gz"))
                if not member.isfile() or name.is_absolute() or ".." in name.parts:
                    raise ValueError(f"{part} is no part of a pack: it has a member {member.name!r}")
                data = gzip.decompress(tar.extractfile(member).read())
                if str(name) == PACK_FILE:
                    _check_same_pack(part, data, folder)
                write_atomically(folder / name, data)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{part} is damaged ({error}); bring it again") from error


def _check_same_pack(part: Path, pack: bytes, folder: Path) -> None:
    there = folder / PACK_FILE
    if there.exists() and read_object(there, f"delete {folder}") != json.loads(pack):
        raise ValueError(f"{part} is of another pack than what {folder} holds; unpack it into another folder")


def _stored_size(data: bytes) -> int:
    return _BLOCK + -(-len(data) // _BLOCK) * _BLOCK
