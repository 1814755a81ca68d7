"""A scene that loads in milliseconds and whose motion is known: a block slides under a camera that looks straight down,
and a second camera slides over the floor. It has LIBERO's camera names and is stored as LIBERO stores its demos."""

import json
from pathlib import Path

import h5py
import numpy as np

FRAMES = 20
BLOCK_STEP = np.array([0.010, 0.005])  # metres a frame, along the world's x and y
HAND_STEP = 0.004  # metres a frame, along x
BLOCK_TOP = 0.1  # metres over the floor
SIDE_HEIGHT = 1.0
EFFECTOR_HEIGHT = 0.45
FOVY = 45
INSTRUCTION = "push the block"
NUM_STATE_VALUES = 1 + 8 + 7

# Both cameras have the world's axes: x is right, y is up, and they look down. The world's origin, on the floor, is in
# the middle of the side view. The hand lies to the left, outside of what the side camera sees.
SCENE = f"""
<mujoco>
  <visual><map znear="0.01" zfar="50"/></visual>
  <statistic extent="1" center="0 0 0"/>
  <asset>
    <texture name="checker" type="2d" builtin="checker" width="64" height="64" rgb1=".2 .2 .2" rgb2=".4 .4 .4"/>
    <material name="floor" texture="checker" texrepeat="9 9"/>
    <material name="block" rgba="1 0 0 1" emission="1" specular="0"/>
    ASSETS
  </asset>
  <worldbody>
    <light pos="0 0 3" dir="0 0 -1" castshadow="false"/>
    <geom type="plane" size="3 3 .1" group="1" material="floor"/>
    <camera name="agentview" pos="0 0 {SIDE_HEIGHT}" fovy="{FOVY}"/>
    <body name="block">
      <freejoint/>
      <geom type="box" size=".1 .06 {BLOCK_TOP / 2}" group="1" material="block"/>
    </body>
    <body name="hand" pos="-1.5 0 .5">
      <joint type="slide" axis="1 0 0"/>
      <geom type="box" size=".02 .02 .02" group="1"/>
      <camera name="robot0_eye_in_hand" pos="0 0 {EFFECTOR_HEIGHT - 0.5}" fovy="{FOVY}"/>
    </body>
  </worldbody>
</mujoco>
"""


def scene(assets: str = "") -> str:
    return SCENE.replace("ASSETS", assets)


def states(frames: int = FRAMES, start_x: float = -0.1) -> np.ndarray:
    """float64 [frames, 1 + nq + nv]: time; block position and quaternion, hand; velocities."""
    recorded = np.zeros((frames, NUM_STATE_VALUES))
    steps = np.arange(frames)
    recorded[:, 0] = 0.05 * steps
    recorded[:, 1:3] = [start_x, 0.1] + steps[:, None] * BLOCK_STEP
    recorded[:, 3] = BLOCK_TOP / 2
    recorded[:, 4] = 1
    recorded[:, 8] = HAND_STEP * steps
    return recorded


def write_demos(path: Path, demos: dict[str, np.ndarray], model_xml: str = "") -> Path:
    """A file of the given states by demo name, without images."""
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["problem_info"] = json.dumps({"language_instruction": INSTRUCTION})
        for name, recorded in demos.items():
            demo = data.create_group(name)
            demo.attrs["model_file"] = model_xml or scene()
            demo["states"] = recorded
    return path
