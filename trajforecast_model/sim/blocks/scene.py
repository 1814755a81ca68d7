"""A block scene drawn from a seed: shapes in the air over a floor, seen by a fixed camera. After MOVi-A of Kubric.

Kubric (arXiv 2203.03570, challenges/movi) gives the number of objects, the region they start in, their velocities,
and the distance of the camera. Shapes, surfaces and the physics of contact are MuJoCo's here, not Blender's and
PyBullet's.
"""

from dataclasses import dataclass

import mujoco
import numpy as np

from trajforecast_model.sim.blocks.model import FIELD_OF_VIEW, MATERIALS, Block, model_text
from trajforecast_model.sim.blocks.primitives import PRIMITIVES
from trajforecast_model.sim.blocks.textures import PATTERNS, draw_texture

OBJECTS = (3, 10)  # least and most
SIZES = (0.7, 1.4)  # metres
SPAWN_REGION = ((-5.0, -5.0, 1.0), (5.0, 5.0, 5.0))  # and in view, so that nothing comes from outside of the picture
CAMERA_DISTANCE = (11.0, 12.5)  # metres from the centre, as in MOVi-A, where however its direction hardly varies
CAMERA_ELEVATION = (15.0, 75.0)  # degrees over the floor


@dataclass(frozen=True)
class Scene:
    """What simulating and drawing it again needs. Object i is body 1 + i; body 0 is the world with the floor."""

    seed: int
    primitives: str
    model_xml: str
    textures: dict[str, bytes]  # PNG files that the model names
    objects: list[dict[str, str | float]]  # primitive, pattern, material, size in metres

    def compile(self) -> mujoco.MjModel:
        return mujoco.MjModel.from_xml_string(self.model_xml, dict(self.textures))


def draw_scene(seed: int, primitives: str = "seen") -> Scene:
    """The scene of a seed.

    Args:
        primitives: "seen", or "unseen" for shapes of which none is among the seen ones.

    Raises:
        ValueError: for another name.
    """
    if primitives not in PRIMITIVES:
        raise ValueError(f"primitives: got {primitives!r}, expected one of {', '.join(PRIMITIVES)}")
    rng = np.random.default_rng([seed, 0])
    camera_position, camera_rotation = _draw_camera(rng)
    sizes = rng.uniform(*SIZES, rng.integers(OBJECTS[0], OBJECTS[1] + 1))
    positions = _draw_positions(rng, sizes, camera_position, camera_rotation)
    objects, textures, blocks = [], {}, []
    for number, (size, position) in enumerate(zip(sizes, positions, strict=True)):
        shape, pattern, material = (
            str(rng.choice(list(choices))) for choices in (PRIMITIVES[primitives], PATTERNS, MATERIALS)
        )
        objects.append({"primitive": shape, "pattern": pattern, "material": material, "size": round(float(size), 4)})
        textures[f"{number}.png"] = draw_texture(rng, pattern)
        geoms = PRIMITIVES[primitives][shape](rng, size)
        quaternion = rng.normal(size=4)
        blocks.append(Block(geoms, material, f"{number}.png", position, quaternion / np.linalg.norm(quaternion)))
    xml = model_text(
        blocks, camera_position, camera_rotation, light=rng.uniform(-7, 7, 2), grey=float(rng.uniform(0.4, 0.8))
    )
    return Scene(seed, primitives, xml, textures, objects)


def _draw_camera(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Position [3] and rotation [3, 3] (camera to world) of a camera that looks at the centre, from anywhere on the
    half-sphere between two elevations, uniform over its surface."""
    azimuth = rng.uniform(0, 2 * np.pi)
    height = rng.uniform(*np.sin(np.deg2rad(CAMERA_ELEVATION)))
    across = np.sqrt(1 - height**2)
    outward = np.array([across * np.cos(azimuth), across * np.sin(azimuth), height])
    right = np.array([-np.sin(azimuth), np.cos(azimuth), 0])
    up = np.cross(outward, right)
    return rng.uniform(*CAMERA_DISTANCE) * outward, np.stack([right, up, outward], axis=1)


def _draw_positions(
    rng: np.random.Generator, sizes: np.ndarray, camera_position: np.ndarray, camera_rotation: np.ndarray
) -> list[np.ndarray]:
    """In the spawn region, the centre in view, and no sphere around a block in another's."""
    half_width = np.tan(np.deg2rad(FIELD_OF_VIEW) / 2)  # of the view, at depth 1
    placed: list[np.ndarray] = []
    for size in sizes:
        while True:
            position = rng.uniform(*SPAWN_REGION)
            x, y, minus_depth = (position - camera_position) @ camera_rotation
            in_view = max(abs(x), abs(y)) < -minus_depth * half_width
            apart = all(np.linalg.norm(position - p) > (size + s) / 2 for p, s in zip(placed, sizes, strict=False))
            if in_view and apart:
                break
        placed.append(position)
    return placed
