"""Config files that extend others."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from trajforecast_model.files.config import load


@dataclass(frozen=True)
class Group:
    a: int = 1
    b: int = 2


@dataclass(frozen=True)
class Config:
    name: str
    group: Group | None = field(default_factory=Group)
    sizes: tuple[int, ...] = ()


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_a_file_takes_over_what_it_does_not_say(tmp_path):
    write(tmp_path / "shared" / "base.yaml", "name: base\ngroup: {a: 3, b: 4}\nsizes: [1, 2]\n")
    write(tmp_path / "shared" / "middle.yaml", "extends: base.yaml\ngroup: {a: 5}\n")
    path = write(tmp_path / "top.yaml", "extends: shared/middle.yaml\nname: top\nsizes: [7]\n")
    assert load(Config, path) == Config("top", Group(5, 4), (7,))
    assert load(Config, path, ["group.b=6"]).group == Group(5, 6)
    with pytest.raises(ValueError, match=r"--set 'sizes=\[1,': '\[1,' is not readable YAML"):
        load(Config, path, ["sizes=[1,"])
    nothing = write(tmp_path / "nothing.yaml", "extends: top.yaml\ngroup: null\n")
    assert load(Config, nothing).group is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: gone.yaml", r"gone.yaml does not exist; .*top.yaml extends it"),
        ("extends: top.yaml", "extends itself"),
        ("extends: [a.yaml]", "expected the name of a file"),
        ("extend: base.yaml\nname: x", "unknown key 'extend'"),
        ("extends: base.yaml", "unknown key 'nam'; did you mean 'name'"),
    ],
)
def test_what_cannot_be_extended_is_named(tmp_path, text, message):
    write(tmp_path / "base.yaml", "nam: base")
    with pytest.raises(ValueError, match=message):
        load(Config, write(tmp_path / "top.yaml", text))
