"""What another robot would have recorded of simulated demos: bags of two cameras with 640 x 480 pixels, that stand
elsewhere, have another lens, and take 30 pictures a second that are not quite even.

    python tools/bags_of_demos.py DEMOS.hdf5 ... --out BAGS [--episodes 8] [--exact FOLDER]

For docs/your_robot.md where no robot is at hand. --exact: also the demos with these cameras, for `prepare --labeler exact`.
"""

import argparse
import re
import shutil
from pathlib import Path

import cv2
import h5py
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from trajforecast_model.data.demo import Demo
from trajforecast_model.data.sources.libero_hdf5 import LiberoFile
from trajforecast_model.sim.mujoco_setup import configure_mujoco

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
CAMERAS = {"side": ("/cam/image_raw", IMAGE), "effector": ("/wrist/image_raw/compressed", COMPRESSED)}
SIZE = (480, 640)  # height, width
RATE, STATES_RATE = 30.0, 20.0  # pictures, and a demo's states, per second
JITTER = 0.002  # seconds, standard deviation of when a picture is taken
SECOND = 1_000_000_000  # nanoseconds
START = 1_750_000_000 * SECOND
SIDE_PLACE, SIDE_TARGET = np.array([0.95, -0.75, 0.60]), np.array([0.55, 0.0, 0.05])  # metres from the robot's base
SIDE_LENS, WRIST_LENS = 46, 62  # degrees, vertical
WRIST_MOUNT = 'pos="0.07 0.03 0.01" quat="0.0616 0.7044 0.7044 -0.0616"'  # beside the hand, tilted to the fingers
STORE = get_typestore(Stores.ROS2_JAZZY)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("demos", nargs="+", type=Path, help="HDF5 files of `trajforecast simulate`")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--episodes", type=int, default=8, help="of each file, the first ones")
    parser.add_argument("--exact", type=Path)
    args = parser.parse_args()
    configure_mujoco()
    for path in args.demos:
        source = LiberoFile.open(path)
        demos = [source.read(name) for name in source.names()[: args.episodes]]
        if args.exact:
            write_with_other_cameras(path, demos, args.exact / path.name)
        for number, demo in enumerate(demos):
            bag = args.out / f"{source.task}_{number}"
            if not bag.exists():
                record(demo, bag, seed=number)
                print(bag, flush=True)


def with_other_cameras(model_xml: str) -> str:
    """The MJCF of a demo's scene, with the cameras of the other robot."""
    base = np.array(re.search(r'<body name="robot0_base" pos="([^"]*)"', model_xml)[1].split(), float)
    quaternion = " ".join(f"{value:.6f}" for value in _looking(SIDE_TARGET - SIDE_PLACE))
    place = " ".join(f"{value:.6f}" for value in base + SIDE_PLACE)
    for name, about in (
        ("agentview", f'pos="{place}" quat="{quaternion}" fovy="{SIDE_LENS}"'),
        ("robot0_eye_in_hand", f'{WRIST_MOUNT} fovy="{WRIST_LENS}"'),
    ):
        model_xml = re.sub(rf'<camera name="{name}"[^>]*/>', f'<camera name="{name}" {about}/>', model_xml)
    return model_xml


def write_with_other_cameras(source: Path, demos: list[Demo], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(source) as file, h5py.File(path, "w") as out:
        data = out.create_group("data")
        data.attrs.update(file["data"].attrs)
        for number, demo in enumerate(demos):
            copy = data.create_group(f"demo_{number}")
            copy.attrs["model_file"] = with_other_cameras(demo.model_xml)
            copy.attrs["language_instruction"] = demo.instruction
            copy["states"] = demo.states


def record(demo: Demo, bag: Path, seed: int) -> None:
    """The bag has its name when it is whole."""
    from trajforecast_model.sim.scene.replay import Replay  # imports mujoco, which must be configured before

    states, random = demo.states, np.random.default_rng([seed, len(demo.states)])
    replay = Replay(with_other_cameras(demo.model_xml), SIZE, supersampling=1)
    end = (len(states) - 1) / STATES_RATE
    taken = []
    for view in CAMERAS:
        even = np.arange(random.uniform(0, 1 / RATE), end, 1 / RATE)
        stamps = (even + random.normal(0, JITTER, len(even))).clip(0, end)
        taken += [(stamp + random.uniform(0.005, 0.025), stamp, view) for stamp in stamps]
    unfinished = bag.parent / ".unfinished" / bag.name
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    writer = Writer(unfinished, version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_custom_data("instruction", demo.instruction)
    with writer:
        connections = {view: writer.add_connection(*topic, typestore=STORE) for view, topic in CAMERAS.items()}
        for received, stamp, view in sorted(taken):
            before, share = int(stamp * STATES_RATE), stamp * STATES_RATE % 1
            replay.show((1 - share) * states[before] + share * states[min(before + 1, len(states) - 1)])
            message = _message(START + round(stamp * SECOND), view, replay.image(view))
            data = STORE.serialize_cdr(message, connections[view].msgtype)
            writer.write(connections[view], START + round(received * SECOND), data)
    replay.close()
    unfinished.rename(bag)


def _message(stamp: int, view: str, rgb: np.ndarray):
    """As camera drivers send it: stamp in nanoseconds."""
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    time = STORE.types["builtin_interfaces/msg/Time"](*divmod(stamp, SECOND))
    header = STORE.types["std_msgs/msg/Header"](time, f"{view}_camera_optical_frame")
    if CAMERAS[view][1] == COMPRESSED:
        data = cv2.imencode(".jpg", bgr)[1].reshape(-1)
        return STORE.types[COMPRESSED](header, "bgr8; jpeg compressed bgr8", data)
    height, width = bgr.shape[:2]
    return STORE.types[IMAGE](header, height, width, "bgr8", 0, 3 * width, bgr.reshape(-1))


def _looking(direction: np.ndarray) -> np.ndarray:
    """Orientation of a MuJoCo camera (it looks along its -z, y is up), w first."""
    import mujoco

    back = -direction / np.linalg.norm(direction)
    right = np.cross([0, 0, 1], back)
    right /= np.linalg.norm(right)
    quaternion = np.empty(4)
    mujoco.mju_mat2Quat(quaternion, np.stack([right, np.cross(back, right), back], axis=1).flatten())
    return quaternion


if __name__ == "__main__":
    main()
