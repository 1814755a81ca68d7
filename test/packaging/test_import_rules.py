"""Dependencies point one way: the rules are in pyproject.toml."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINT = (
    "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True, config_filename={!r}))"
)


def lint(root: Path) -> subprocess.CompletedProcess:
    program = LINT.format(str(root / "pyproject.toml"))
    return subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True)


def test_imports_keep_to_the_rules():
    ended = lint(ROOT)
    assert ended.returncode == 0, ended.stdout
    assert "0 broken" in ended.stdout


def test_an_import_against_the_rules_is_found(tmp_path):
    """Two packages of the same names and rules, in which the simulator imports from data."""
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    for package in ("trajforecast_model", "trajforecast_ros"):
        for place in (ROOT / package).rglob("__init__.py"):
            copy = tmp_path / place.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.touch()
    for package in ("trajforecast_model", "trajforecast_ros"):
        for module in (ROOT / package).glob("[a-z]*.py"):
            (tmp_path / package / module.name).touch()
    (tmp_path / "trajforecast_ros" / "path_profile.py").write_text("import trajforecast_model.inference.encoding\n")
    (tmp_path / "trajforecast_model" / "inference" / "encoding.py").touch()
    assert lint(tmp_path).returncode == 0
    (tmp_path / "trajforecast_model" / "sim" / "__init__.py").write_text("import trajforecast_model.data\n")
    ended = lint(tmp_path)
    assert ended.returncode == 1
    assert "trajforecast_model.sim is not allowed to import trajforecast_model.data" in ended.stdout


def test_the_picture_of_the_rooms_shows_the_imports():
    ended = subprocess.run([sys.executable, "tools/draw_rooms.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
