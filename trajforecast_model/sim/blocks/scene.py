"""A block scene drawn from a seed: shapes in the air over a floor, seen by a fixed camera. After MOVi-A of Kubric.

Kubric (arXiv 2203.03570, challenges/movi) gives the number of objects, the region they start in, their velocities,
and the distance of the camera. Shapes, surfaces and the physics of contact are MuJoCo's here, not Blender's and
PyBullet's.
"""

from dataclasses import dataclass

import mujoco
import numpy as np

from trajforecast_model.sim.blocks.primitives import PRIMITIVES, Geom
from trajforecast_model.sim.blocks.textures import PATTERNS, draw_texture

IMAGE_SIZE = (256, 256)  # height, width
FRAMES_PER_SECOND = 12
NUM_FRAMES = 24
CAMERA = "camera"

OBJECTS = (3, 10)  # least and most
SIZES = (0.7, 1.4)  # metres
SPAWN_REGION = ((-5.0, -5.0, 1.0), (5.0, 5.0, 5.0))  # and in view, so that nothing comes from outside of the picture
FIELD_OF_VIEW = 49.13  # degrees: a lens of 35 mm before a sensor of 32 mm
CAMERA_DISTANCE = (11.0, 12.5)  # metres from the centre, as in MOVi-A, where however its direction hardly varies
CAMERA_ELEVATION = (15.0, 75.0)  # degrees over the floor

STEPS_PER_FRAME = 50
# A contact swings back within half a period of this frequency: 10 physics steps.
CONTACT_FREQUENCY = np.pi / (10 / (FRAMES_PER_SECOND * STEPS_PER_FRAME))  # rad/s


@dataclass(frozen=True)
class Material:
    density: float  # kg/m^3
    friction: float
    damping: float  # of a contact: 0 gives all of the energy back, 1 none


MATERIALS = {"metal": Material(2700, 0.2, 0.35), "rubber": Material(1100, 0.5, 0.12)}
FLOOR = Material(density=0, friction=0.2, damping=0.2)


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
    objects, textures, assets, bodies = [], {}, [], []
    for number, (size, position) in enumerate(zip(sizes, positions, strict=True)):
        shape, pattern, material = (
            str(rng.choice(list(choices))) for choices in (PRIMITIVES[primitives], PATTERNS, MATERIALS)
        )
        objects.append({"primitive": shape, "pattern": pattern, "material": material, "size": round(float(size), 4)})
        textures[f"{number}.png"] = draw_texture(rng, pattern)
        geoms = PRIMITIVES[primitives][shape](rng, size)
        quaternion = rng.normal(size=4)
        assets.append(_surface(number, material) + _meshes(number, geoms))
        bodies.append(_body(number, geoms, MATERIALS[material], position, quaternion / np.linalg.norm(quaternion)))
    xml = _MODEL.format(
        floor=_contact(FLOOR), camera_position=_numbers(camera_position), camera_axes=_numbers(camera_rotation[:, :2].T),
        light=_numbers(rng.uniform(-7, 7, 2)), grey=f"{rng.uniform(0.4, 0.8):.3f}",
        assets="\n    ".join(assets), bodies="\n    ".join(bodies), timestep=1 / (FRAMES_PER_SECOND * STEPS_PER_FRAME),
    )  # fmt: skip
    return Scene(seed, primitives, xml, textures, objects)


_MODEL = f"""<mujoco model="blocks">
  <option timestep="{{timestep:.9f}}" integrator="implicitfast" cone="elliptic"/>
  <size memory="4M"/>
  <statistic extent="10" center="0 0 0" meansize="1"/>
  <visual>
    <map znear="0.01" zfar="10"/>
    <quality shadowsize="2048" numslices="64" numstacks="48" numquads="8"/>
    <global offheight="{2 * IMAGE_SIZE[0]}" offwidth="{2 * IMAGE_SIZE[1]}"/>
    <headlight ambient=".4 .4 .4" diffuse=".2 .2 .2" specular="0 0 0"/>
  </visual>
  <asset>
    <texture name="sky" type="skybox" builtin="gradient" rgb1=".75 .78 .82" rgb2=".5 .52 .55" width="64" height="384"/>
    <material name="floor" rgba="{{grey}} {{grey}} {{grey}} 1" specular="0"/>
    {{assets}}
  </asset>
  <worldbody>
    <light pos="{{light}} 18" dir="0 0 -1" cutoff="80" exponent="1" diffuse=".6 .6 .6" specular=".3 .3 .3"/>
    <camera name="{CAMERA}" fovy="{FIELD_OF_VIEW}" pos="{{camera_position}}" xyaxes="{{camera_axes}}"/>
    <geom name="floor" type="plane" size="60 60 1" group="1" material="floor" {{floor}}/>
    {{bodies}}
  </worldbody>
</mujoco>
"""


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


def _surface(number: int, material: str) -> str:
    shine = 0.6 if material == "metal" else 0.1
    return (
        f'<texture name="texture{number}" type="cube" file="{number}.png"/>'
        f'<material name="material{number}" texture="texture{number}" specular="{shine}" shininess="{shine}"/>'
    )


def _meshes(number: int, geoms: list[Geom]) -> str:
    return "".join(
        f'<mesh name="mesh{number}_{part}" vertex="{_numbers(geom.vertices)}"/>'
        for part, geom in enumerate(geoms)
        if geom.vertices is not None
    )


def _body(number: int, geoms: list[Geom], material: Material, position: np.ndarray, quaternion: np.ndarray) -> str:
    parts = []
    for part, geom in enumerate(geoms):
        attributes = dict(geom.attributes)
        if geom.vertices is not None:
            attributes["mesh"] = f"mesh{number}_{part}"
        words = " ".join(f'{name}="{value}"' for name, value in attributes.items())
        parts.append(
            f'<geom {words} group="1" material="material{number}" density="{material.density}" {_contact(material)}/>'
        )
    return (
        f'<body name="block{number}" pos="{_numbers(position)}" quat="{_numbers(quaternion)}"><freejoint/>'
        + "".join(parts)
        + "</body>"
    )


def _contact(material: Material) -> str:
    time_constant = 1 / (CONTACT_FREQUENCY * material.damping)
    return (
        f'friction="{material.friction} 0.01 0.001" condim="4" solref="{time_constant:.6f} {material.damping}" '
        'solimp="0.95 0.99 0.01"'
    )


def _numbers(values) -> str:
    return " ".join(f"{value:.6f}" for value in np.ravel(values))
