"""Which camera of a LeRobot dataset is which view, and how its images stand.

LeRobot's own programs store what the camera gave, upright. The copies of LIBERO are mirrored (orientation.py), and their
cameras' names, `image` and `wrist_image` or `image2`, are also those of openpi's examples, which robots of one's own and
other simulators are recorded with. So it takes the robot, the pictures' size and the numbers of the state as well to tell
a copy of LIBERO; robocasa's, for one, is of a panda too and has 128 x 128 pixels. Seen: physical-intelligence/libero,
HuggingFaceVLA/libero, lerobot/libero. Copies of robot_type franka are made by several programs, which do not agree.
"""

from pathlib import Path

from trajforecast_model.data.sources.interface import SourceOptions
from trajforecast_model.data.sources.orientation import GIVEN, must_be_told

LIBERO_COPY_CAMERAS = {"side": ("image",), "effector": ("wrist_image", "image2")}
_COPY_ROBOTS = ("panda", "libero")
_COPY_SIZE = (256, 256)
_COPY_LENGTHS = {"state": 8, "action": 7, "actions": 7}  # by the feature's name after the last dot
# Robots that LIBERO's may be called, or that are simulated by the same renderer, which gives images upside down.
_MAY_BE_LIBERO = ("panda", "franka", "libero", "robosuite", "robocasa", "mujoco", "sim", "unknown")
_SIMULATED_CAMERAS = ("agentview", "eye_in_hand")


def cameras_of(place: Path, info: dict, options: SourceOptions) -> dict[str, str]:
    """The feature of each view: the one that is named, whole or by its last part (`top`), or the usual one.

    Raises:
        ValueError: where a view's camera must be named, and where it is a depth camera.
    """
    known = [key for key, feature in info["features"].items() if feature.get("dtype") in ("image", "video")]
    usual = {
        view: key for view, names in LIBERO_COPY_CAMERAS.items() for key in known if _last(key) in names
    }  # fmt: skip
    cameras = {}
    for view, camera in options.cameras.items():
        key = _called(camera, known) if camera else usual.get(view)
        if key not in known:
            raise ValueError(
                f"{place}: which of its cameras is the view {view}? It has {', '.join(known) or 'none'}; give "
                f"--view {view}=CAMERA, and --view once for each view there is to be"
            )
        if _is_depth(info["features"][key]):
            colour = [name for name in known if not _is_depth(info["features"][name])]
            raise ValueError(
                f"{place}: --view {view}={key}: that is a depth map, as meta/info.json says; expected a camera's picture: "
                f"{', '.join(colour) or 'it has none'}"
            )
        cameras[view] = key
    return cameras


def orientation_of(place: Path, info: dict, cameras: dict[str, str], options: SourceOptions) -> tuple[str, str]:
    """How the images stand, and what tells it.

    Raises:
        ValueError: where that is not certain and was not given.
    """
    if options.orientation:
        return options.orientation, GIVEN
    robot = str(info.get("robot_type") or "unknown")
    sizes = {camera: _size(info["features"][camera]) for camera in cameras.values()}
    called_so = [
        camera for names in LIBERO_COPY_CAMERAS.values() for camera in cameras.values() if _last(camera) in names
    ]
    simulated = [camera for camera in cameras.values() if any(name in camera for name in _SIMULATED_CAMERAS)]
    may_be_libero = any(name in robot.lower() for name in _MAY_BE_LIBERO)
    square = all(size is None or size[0] == size[1] for size in sizes.values())
    if not may_be_libero or not square:
        told = f"robot_type {robot}" if not may_be_libero else "its pictures are not square, as LIBERO's are"
        return "upright", f"as cameras give them: {told}"
    if not called_so and not simulated and "libero" not in robot.lower():
        return "upright", f"as cameras give them: {', '.join(cameras.values())}"
    against = _against_a_copy(info, robot, cameras, called_so, sizes)
    if not against:
        return "mirrored", f"as in the copies of LIBERO: robot_type {robot}, {', '.join(cameras.values())} of 256 x 256"
    raise must_be_told(
        place,
        f"It may be a copy of LIBERO, whose are mirrored, or of another simulator, or a robot of its own ({against})",
    )


def _against_a_copy(info: dict, robot: str, cameras: dict, called_so: list[str], sizes: dict) -> str:
    """Why it is not certain that the pictures are those of a known copy of LIBERO; empty where it is."""
    if not any(name in robot.lower() for name in _COPY_ROBOTS):
        return f"robot_type {robot}"
    if set(called_so) != set(cameras.values()):
        return f"its cameras {', '.join(cameras.values())} are none of the known copies'"
    for camera, size in sizes.items():
        if size != _COPY_SIZE:
            return f"{camera} is {' x '.join(map(str, size)) if size else 'of unknown size'}, not 256 x 256"
    for name, feature in info["features"].items():
        if ".states." in name:
            return f"{name} is none of the known copies'"
        expected = _COPY_LENGTHS.get(_last(name))
        shape = list(feature.get("shape") or ())
        if expected and shape and shape != [expected]:
            return f"{name} has {shape[0]} numbers, LIBERO's has {expected}"
    return ""


def _called(name: str, known: list[str]) -> str:
    """The feature of this name or, where one alone ends so, the one whose last part it is."""
    ending = [key for key in known if key.endswith(f".{name}")]
    return ending[0] if name not in known and len(ending) == 1 else name


def _last(key: str) -> str:
    return key.rpartition(".")[2]


def _size(feature: dict) -> tuple[int, int] | None:
    """Height and width, whichever axis the channels are."""
    shape = list(feature.get("shape") or ())
    if len(shape) != 3:
        return None
    height_width = shape[1:] if shape[0] in (1, 3) and shape[2] not in (1, 3) else shape[:2]
    return int(height_width[0]), int(height_width[1])


def _is_depth(feature: dict) -> bool:
    about = [feature, *(value for value in feature.values() if isinstance(value, dict))]
    return any(bool(value) for part in about for key, value in part.items() if key.endswith("is_depth_map"))
