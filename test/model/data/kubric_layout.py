"""A scene in Kubric's layout, rendered by casting a ray through the centre of each pixel.

Independent of the program's own geometry: boxes and a floor are met by rays in the world, and where a point goes is told by
homogeneous matrices as Kubric's own metadata have them (K, and the camera's matrix to the world).
"""

import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

SIDE, FRAMES, FOCAL, SENSOR = 64, 8, 35.0, 32.0
FAR = 60.0  # no ray reaches further
HALF = np.array([[0.8, 0.5, 0.4], [0.4, 0.4, 0.9]])  # of the two boxes
COLOURS = np.array([[90, 90, 90], [200, 40, 40], [40, 60, 200]], np.uint8)


def quaternion(axis, angle: float) -> np.ndarray:
    axis = np.array(axis, float) / np.linalg.norm(axis)
    return np.array([np.cos(angle / 2), *(np.sin(angle / 2) * axis)])


def matrix(quaternion) -> np.ndarray:
    """By turning the axes with quaternion products."""

    def product(a, b):
        return np.array([a[0] * b[0] - a[1:] @ b[1:], *(a[0] * b[1:] + b[0] * a[1:] + np.cross(a[1:], b[1:]))])

    inverse = quaternion * [1, -1, -1, -1]
    return np.stack([product(product(quaternion, np.array([0, *axis])), inverse)[1:] for axis in np.eye(3)], axis=1)


def scene() -> dict:
    """Metadata as Kubric's: a camera that moves, a box that slides and turns before one that tumbles."""
    steps = np.arange(FRAMES)
    eye = np.stack([6 + 0.05 * steps, -6 + 0 * steps, 4 + 0.03 * steps], axis=1)
    looks = []
    for place in eye:
        back = place / np.linalg.norm(place)  # the camera looks at the origin, along its -z
        right = np.cross([0, 0, 1.0], back)
        right /= np.linalg.norm(right)
        rotation = np.stack([right, np.cross(back, right), back], axis=1)
        w = np.sqrt(1 + np.trace(rotation)) / 2
        looks.append([w, *(np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]]) / (4 * w))])  # fmt: skip
    boxes = [
        (np.stack([1.2 + 0 * steps, -1.5 + 0.25 * steps, 0.4 + 0 * steps], axis=1), [quaternion([0, 0, 1], 0.1 * t) for t in steps]),
        (np.stack([-0.5 + 0.1 * steps, 0.6 + 0 * steps, 0.9 + 0 * steps], axis=1), [quaternion([1, 2, 0.5], 0.15 * t) for t in steps]),
    ]  # fmt: skip
    return {
        "flags": {},
        "metadata": {"resolution": [SIDE, SIDE], "frame_rate": 12, "step_rate": 240, "num_frames": FRAMES, "num_instances": 2},
        "camera": {
            "focal_length": FOCAL, "sensor_width": SENSOR, "field_of_view": float(2 * np.arctan2(SENSOR / 2, FOCAL)),
            "positions": eye.tolist(), "quaternions": np.array(looks).tolist(),
            "K": [[FOCAL / SENSOR, 0, -0.5], [0, -FOCAL / SENSOR, -0.5], [0, 0, -1]],
        },
        "instances": [
            {"positions": place.tolist(), "quaternions": np.array(turned).tolist(), "mass": 1.0} for place, turned in boxes
        ],
    }  # fmt: skip


def rays(told: dict, frame: int, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The camera's centre, and unit directions [N, 3] through pixels [N, 2]."""
    side = SENSOR / SIDE
    inside = np.stack(
        [(pixels[:, 0] - SIDE / 2) * side, (SIDE / 2 - pixels[:, 1]) * side, np.full(len(pixels), -FOCAL)], 1
    )
    turned = inside @ matrix(np.array(told["camera"]["quaternions"][frame])).T
    return np.array(told["camera"]["positions"][frame]), turned / np.linalg.norm(turned, axis=1, keepdims=True)


def cast(told: dict, frame: int, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance [N] and number [N] of what rays through pixels [N, 2] meet first: 0 the floor, or what lies far behind."""
    eye, ways = rays(told, frame, pixels)
    with np.errstate(divide="ignore", invalid="ignore"):
        down = -eye[2] / ways[:, 2]
    distance = np.where(down > 0, down, FAR).clip(max=FAR)
    number = np.zeros(len(pixels), np.uint8)
    for index, instance in enumerate(told["instances"], 1):
        turn = matrix(np.array(instance["quaternions"][frame]))
        start, way = (eye - instance["positions"][frame]) @ turn, ways @ turn
        with np.errstate(divide="ignore"):
            ends = np.stack([(-HALF[index - 1] - start) / way, (HALF[index - 1] - start) / way])
        enters, leaves = ends.min(0).max(1), ends.max(0).min(1)
        nearer = (enters < leaves) & (enters > 0) & (enters < distance)
        distance, number = np.where(nearer, enters, distance), np.where(nearer, index, number)
    return distance, number.astype(np.uint8)


def where_it_goes(told: dict, start: int, pixels: np.ndarray, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the points seen at pixels [N, 2] of one frame: the pixels [N, 2] in another, and whether they are seen there."""
    distance, number = cast(told, start, pixels)
    eye, ways = rays(told, start, pixels)
    world = eye + distance[:, None] * ways
    for index, instance in enumerate(told["instances"], 1):
        of = number == index
        before, after = (np.eye(4) for _ in range(2))
        for pose, when in ((before, start), (after, frame)):
            pose[:3, :3], pose[:3, 3] = matrix(np.array(instance["quaternions"][when])), instance["positions"][when]
        moved = np.concatenate([world[of], np.ones((of.sum(), 1))], axis=1) @ (after @ np.linalg.inv(before)).T
        world[of] = moved[:, :3]
    camera = np.eye(4)
    camera[:3, :3] = matrix(np.array(told["camera"]["quaternions"][frame]))
    camera[:3, 3] = told["camera"]["positions"][frame]
    seen_from = np.concatenate([world, np.ones((len(world), 1))], axis=1) @ np.linalg.inv(camera).T
    shares = seen_from[:, :3] @ np.array(told["camera"]["K"]).T
    there = shares[:, :2] / shares[:, 2:] * SIDE
    first, _ = cast(told, frame, there)
    reached = np.linalg.norm(world - camera[:3, 3], axis=1)
    inside = ((there >= 0) & (there < SIDE)).all(1)
    return there, inside & ((reached < first + 1e-3) | (first >= FAR))


def write_scene(folder: Path, told: dict | None = None) -> dict:
    told = told or scene()
    folder.mkdir(parents=True, exist_ok=True)
    centres = np.stack(np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5), axis=-1).reshape(-1, 2)
    for frame in range(FRAMES):
        distance, number = cast(told, frame, centres)
        shade = (255 * np.exp(-distance / 30)).astype(np.uint8)
        rgba = np.concatenate(
            [COLOURS[number] // 2 + shade[:, None] // 2, np.full((len(number), 1), 255, np.uint8)], axis=1
        )
        cv2.imwrite(str(folder / f"rgba_{frame:05d}.png"), rgba.reshape(SIDE, SIDE, 4)[..., [2, 1, 0, 3]])
        cv2.imwrite(str(folder / f"depth_{frame:05d}.tiff"), distance.reshape(SIDE, SIDE).astype(np.float32))
        cv2.imwrite(str(folder / f"object_coordinates_{frame:05d}.png"), np.zeros((SIDE, SIDE, 3), np.uint16))
        picture = Image.fromarray(number.reshape(SIDE, SIDE), mode="P")
        picture.putpalette([0, 0, 0, 240, 80, 80, 80, 240, 80])
        picture.save(folder / f"segmentation_{frame:05d}.png")
    (folder / "metadata.json").write_text(json.dumps(told))
    (folder / "data_ranges.json").write_text(json.dumps({"forward_flow": {"min": 0.0, "max": 1.0}}))
    return told
