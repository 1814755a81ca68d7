"""Draws docs/pictures/architecture.svg: the rooms of the code, and an arrow from each to those it imports (Graphviz's dot).

An arrow that others imply is left out: where a room imports data, and data imports files, it may import files too. The
rooms are those of the layers in pyproject.toml's import rules, but for small modules of the nodes.

    python tools/draw_rooms.py [--check]        --check: exit code 1 where the picture's arrows are not those of the code
"""

import argparse
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import grimp

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "pictures" / "architecture.svg"
SMALL = {
    f"trajforecast_ros.{name}"
    for name in ("running", "processes", "every_publisher", "qos", "memory", "resources", "reduction")
}
WHAT = {
    "trajforecast_ros.forecast": "forecast_node",
    "trajforecast_ros.policy": "simulator_node, policies",
    "trajforecast_ros.recording": "record_node, replay_node",
    "trajforecast_ros.viewing": "markers, film",
    "trajforecast_ros.messages": "arrays in messages",
    "trajforecast_ros.images": "messages to RGB and back",
    "trajforecast_ros.starting": "arguments, parameters",
    "trajforecast_model.cli": "the program",
    "trajforecast_model.verbs": "a module a verb",
    "trajforecast_model.benchmarks": "speed, memory",
    "trajforecast_model.viewing": "pages to look at",
    "trajforecast_model.training": "loop, stages",
    "trajforecast_model.evaluation": "protocols, metrics",
    "trajforecast_model.data": "sources, labelers, shards",
    "trajforecast_model.sim": "LIBERO, blocks",
    "trajforecast_model.conversion": "other projects' files",
    "trajforecast_model.policy": "actions of forecasts",
    "trajforecast_model.forecaster": "the door",
    "trajforecast_model.trajloom": "from past tracks to tracks",
    "trajforecast_model.inference": "from image to tracks",
    "trajforecast_model.forecast": "what it says",
    "trajforecast_model.baselines": "ATM, Track2Act",
    "trajforecast_model.checkpoint": "config and weights",
    "trajforecast_model.networks": "tensors in, tensors out",
    "trajforecast_model.flow": "path, solvers",
    "trajforecast_model.tracks": "geometry, drawing",
    "trajforecast_model.images": "checked, resized",
    "trajforecast_model.image_messages": "every encoding to RGB",
    "trajforecast_model.bags": "rosbag2 without ROS",
    "trajforecast_model.runtime": "device, processes",
    "trajforecast_model.files": "atomic, JSON, configs",
}


def rooms() -> list[str]:
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    floors = {rule["containers"][0]: rule["layers"] for rule in rules if rule["type"] == "layers"}
    every = [
        f"{package}.{room.strip()}"
        for package, layers in floors.items()
        for layer in layers
        for room in layer.split("|")
    ]
    return [room for room in every if room not in SMALL]


def imports() -> set[tuple[str, str]]:
    """Which room imports which."""
    graph = grimp.build_graph("trajforecast_model", "trajforecast_ros")
    known = rooms()
    pairs = {
        (_room(importer, known), _room(imported, known))
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
    }
    return {(one, other) for one, other in pairs if one and other and one != other}


def arrows(pairs: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those that no others imply."""

    def reaches(start: str, end: str, without: tuple[str, str]) -> bool:
        seen, ahead = set(), [start]
        while ahead:
            here = ahead.pop()
            further = {other for one, other in pairs if one == here and (one, other) != without} - seen
            if end in further:
                return True
            seen |= further
            ahead += further
        return False

    return sorted(pair for pair in pairs if not reaches(*pair, without=pair))


def source() -> str:
    """The picture in Graphviz's language."""
    lines = [
        "digraph rooms {",
        'node [shape=box style="rounded,filled" fontname="sans-serif" fontsize=13 margin="0.16,0.07"]',
        'edge [color="#777777" arrowsize=0.7]',
        "ranksep=0.35 nodesep=0.3",
    ]
    for room in rooms():
        package, _, name = room.partition(".")
        colour = "#dcebf7" if package == "trajforecast_ros" else "#e9f2e1"
        label = f"{name}\\n{WHAT[room]}" if room in WHAT else name
        lines.append(f'"{room}" [label="{label}" fillcolor="{colour}"]')
    lines += [f'"{one}" -> "{other}"' for one, other in arrows(imports())]
    return "\n".join([*lines, "}"])


def drawn_arrows() -> list[tuple[str, str]]:
    titles = re.findall(r"<title>(.*?)</title>", PICTURE.read_text())
    return sorted(tuple(unescape(title).split("->")) for title in titles if "->" in unescape(title))


def _room(module: str, known: list[str]) -> str | None:
    return next((room for room in known if module == room or module.startswith(f"{room}.")), None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        is_same = drawn_arrows() == arrows(imports())
        print("the picture's arrows are those of the code" if is_same else f"{PICTURE}: run python tools/draw_rooms.py")
        return 0 if is_same else 1
    svg = subprocess.run(["dot", "-Tsvg"], input=source(), capture_output=True, text=True, check=True).stdout
    PICTURE.write_text(svg)
    print(f"wrote {PICTURE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
