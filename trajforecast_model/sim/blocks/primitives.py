"""The shapes of a block scene as MJCF geoms. Those of `SEEN` are for training, those of `UNSEEN` for testing only.

A shape is a function from a random generator and a size to its geoms: the attributes of one `<geom>` element each, in
the body's frame, and vertices where the geom is a convex mesh. `size` is the diameter of a sphere around the shape.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Geom:
    """attributes: of the MJCF element, without name, material and contact. vertices: [N, 3] of a mesh, or None."""

    attributes: dict[str, str]
    vertices: np.ndarray | None = None


def _geom(kind: str, size, **more) -> Geom:
    return Geom({"type": kind, "size": _text(size), **{name: _text(value) for name, value in more.items()}})


def _mesh(corners, size: float) -> Geom:
    """The convex hull of `corners` [N, 3], scaled so that the farthest corner lies at size / 2."""
    corners = np.asarray(corners, np.float64)
    return Geom({"type": "mesh"}, corners * (size / 2 / np.linalg.norm(corners, axis=1).max()))


def _box(rng, size):
    sides = rng.uniform(0.6, 1.0, 3)
    return [_geom("box", size / 2 * sides / np.linalg.norm(sides))]


def _sphere(rng, size):
    return [_geom("sphere", [size / 2])]


def _cylinder(rng, size):
    flatness = rng.uniform(0.5, 1.1)  # angle between the axis and the way to the rim
    return [_geom("cylinder", size / 2 * np.array([np.sin(flatness), np.cos(flatness)]))]


def _capsule(rng, size):
    radius = size / 2 * rng.uniform(0.4, 0.65)
    return [_geom("capsule", [radius, size / 2 - radius])]


def _ellipsoid(rng, size):
    return [_geom("ellipsoid", size / 2 * np.array([1.0, rng.uniform(0.6, 0.9), rng.uniform(0.45, 0.7)]))]


def _cone(rng, size):
    turns = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    rim = np.stack([np.cos(turns), np.sin(turns), np.full(32, -0.6)], axis=-1)
    return [_mesh([*rim, [0, 0, rng.uniform(0.9, 1.2)]], size)]


def _pyramid(rng, size):
    return [_mesh([[1, 1, -0.6], [1, -1, -0.6], [-1, 1, -0.6], [-1, -1, -0.6], [0, 0, rng.uniform(0.9, 1.3)]], size)]


def _wedge(rng, size):
    corners = [[x, y, z] for x in (-1, 1) for y, z in ((-0.8, -0.5), (0.8, -0.5), (0.8, 0.6))]
    return [_mesh(np.array(corners) * [rng.uniform(0.6, 1.0), 1, 1], size)]


def _octahedron(rng, size):
    corners = np.concatenate([np.eye(3), -np.eye(3)]) * rng.uniform([0.7, 0.7, 0.9], [1, 1, 1])
    return [_mesh(corners, size)]


def _torus(rng, size):
    parts = 12
    tube = size / 2 * rng.uniform(0.22, 0.32)
    turns = np.linspace(0, 2 * np.pi, parts + 1)
    ring = (size / 2 - tube) * np.stack([np.cos(turns), np.sin(turns), np.zeros(parts + 1)], axis=-1)
    return [_geom("capsule", [tube], fromto=np.concatenate([ring[i], ring[i + 1]])) for i in range(parts)]


def _jack(rng, size):
    tube = size / 2 * rng.uniform(0.18, 0.26)
    reach = size / 2 - tube
    return [_geom("capsule", [tube], fromto=np.concatenate([-reach * axis, reach * axis])) for axis in np.eye(3)]


def _text(values) -> str:
    return " ".join(f"{value:.6g}" for value in np.ravel(values))


Shape = Callable[[np.random.Generator, float], list[Geom]]

SEEN: dict[str, Shape] = {
    "box": _box,
    "sphere": _sphere,
    "cylinder": _cylinder,
    "capsule": _capsule,
    "ellipsoid": _ellipsoid,
}
UNSEEN: dict[str, Shape] = {
    "cone": _cone,
    "pyramid": _pyramid,
    "wedge": _wedge,
    "octahedron": _octahedron,
    "torus": _torus,
    "jack": _jack,
}
PRIMITIVES = {"seen": SEEN, "unseen": UNSEEN}
