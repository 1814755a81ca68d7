"""A block scene as MJCF, the text that MuJoCo compiles: floor, light, camera, and what blocks are made of."""

from dataclasses import dataclass

import numpy as np

from trajforecast_model.sim.blocks.primitives import Geom

IMAGE_SIZE = (256, 256)  # height, width
FRAMES_PER_SECOND = 12
CAMERA = "camera"
FIELD_OF_VIEW = 49.13  # degrees: a lens of 35 mm before a sensor of 32 mm

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
class Block:
    """material: a name among MATERIALS. texture: the name of a PNG file. position [3], quaternion [4] of unit length."""

    geoms: list[Geom]
    material: str
    texture: str
    position: np.ndarray
    quaternion: np.ndarray


def model_text(
    blocks: list[Block], camera_position: np.ndarray, camera_rotation: np.ndarray, light: np.ndarray, grey: float
) -> str:
    """The MJCF of a scene; block i is body 1 + i.

    Args:
        camera_position: [3], world.
        camera_rotation: [3, 3], camera to world; the camera looks along its -z, y is up.
        light: [2] metres, over which point of the floor the light hangs.
        grey: of the floor, 0 to 1.
    """
    return _MODEL.format(
        timestep=1 / (FRAMES_PER_SECOND * STEPS_PER_FRAME),
        floor=_contact(FLOOR),
        grey=f"{grey:.3f}",
        light=_numbers(light),
        camera_position=_numbers(camera_position),
        camera_axes=_numbers(camera_rotation[:, :2].T),
        assets="\n    ".join(_surface(i, block) + _meshes(i, block.geoms) for i, block in enumerate(blocks)),
        bodies="\n    ".join(_body(i, block) for i, block in enumerate(blocks)),
    )


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


def _surface(number: int, block: Block) -> str:
    shine = 0.6 if block.material == "metal" else 0.1
    return (
        f'<texture name="texture{number}" type="cube" file="{block.texture}"/>'
        f'<material name="material{number}" texture="texture{number}" specular="{shine}" shininess="{shine}"/>'
    )


def _meshes(number: int, geoms: list[Geom]) -> str:
    return "".join(
        f'<mesh name="mesh{number}_{part}" vertex="{_numbers(geom.vertices)}"/>'
        for part, geom in enumerate(geoms)
        if geom.vertices is not None
    )


def _body(number: int, block: Block) -> str:
    material = MATERIALS[block.material]
    parts = []
    for part, geom in enumerate(block.geoms):
        attributes = dict(geom.attributes)
        if geom.vertices is not None:
            attributes["mesh"] = f"mesh{number}_{part}"
        words = " ".join(f'{name}="{value}"' for name, value in attributes.items())
        parts.append(
            f'<geom {words} group="1" material="material{number}" density="{material.density}" {_contact(material)}/>'
        )
    return (
        f'<body name="block{number}" pos="{_numbers(block.position)}" quat="{_numbers(block.quaternion)}"><freejoint/>'
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
