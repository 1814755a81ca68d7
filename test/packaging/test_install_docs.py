"""What the installation pages and the Dockerfile say agrees with the repository."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from catkin_pkg.package import parse_package

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("path", ["docs/install.md", "docker/Dockerfile"])
def test_rosdep_skips_exactly_the_keys_that_pip_has_to_bring(path):
    [skipped] = re.findall(r'--skip-keys\s+\\?\s*"([^"]+)"', (ROOT / path).read_text())
    dependencies = parse_package(str(ROOT / "package.xml")).exec_depends

    assert set(skipped.split()) == {item.name for item in dependencies if item.name.endswith("-pip")}


@pytest.mark.parametrize(
    ("numpy_version", "distribution", "wanted"),
    [
        ("1.26.4", "jazzy", "numpy<2"),
        ("1.26.4", "kilted", "numpy<2"),
        ("2.3.5", "lyrical", "numpy"),
        ("2.1.0", "jazzy", "numpy"),  # built from source
        (None, "jazzy", "numpy<2"),
        (None, "lyrical", "numpy"),
    ],
)
def test_numpy_is_held_back_only_where_ros_was_compiled_for_the_old_one(tmp_path, numpy_version, distribution, wanted):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho {numpy_version}\n" if numpy_version else "#!/bin/sh\nexit 1\n")
    python.chmod(0o755)

    environment = {**os.environ, "PYTHON": str(python), "ROS_DISTRO": distribution}
    printed = subprocess.run(
        [ROOT / "tools/numpy_for_ros.sh"], env=environment, capture_output=True, text=True, check=True
    )
    assert printed.stdout.split() == [wanted]


def test_the_container_gets_what_it_is_built_from():
    ignored = (ROOT / "docker" / "Dockerfile.dockerignore").read_text().split()
    needed = ["setup.py", "setup.cfg", "package.xml", "config", "launch", "resource", "trajforecast_model"]

    assert "COPY . ." in (ROOT / "docker" / "Dockerfile").read_text()
    assert all((ROOT / name).exists() and name not in ignored for name in needed)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings_that_exist(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
