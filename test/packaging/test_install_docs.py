"""What the installation pages and the Dockerfile say agrees with the repository."""

import re
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
