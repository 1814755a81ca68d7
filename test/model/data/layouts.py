"""The same small episodes written in every layout that `prepare` reads, as the programs that made the layouts do."""

import json
from pathlib import Path

import cv2
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet

INSTRUCTION = "put the red cup on the plate"
TASK = "put_the_red_cup_on_the_plate"
CORNERS = {"top left": (255, 0, 0), "top right": (0, 255, 0), "bottom left": (0, 0, 255), "bottom right": (255, 255, 0)}
SPOT = 20  # pixels along the edge of a corner's mark
GREY_A_FRAME = 10


def episode(frames: int = 6, size: tuple[int, int] = (128, 128), first_grey: int = 0) -> dict[str, np.ndarray]:
    """Both views, upright: a mark in each corner, and in the middle a grey that counts the frames."""
    height, width = size
    video = np.zeros((frames, height, width, 3), np.uint8)
    rows = {"top": slice(0, SPOT), "bottom": slice(height - SPOT, height)}
    columns = {"left": slice(0, SPOT), "right": slice(width - SPOT, width)}
    for corner, colour in CORNERS.items():
        row, column = corner.split()
        video[:, rows[row], columns[column]] = colour
    middle = (slice(None), slice(height // 3, 2 * height // 3), slice(width // 3, 2 * width // 3))
    video[middle] = (first_grey + GREY_A_FRAME * np.arange(frames, dtype=np.uint8))[:, None, None, None]
    return {"side": video, "effector": np.clip(video, 30, 225)}


def corners_of(image: np.ndarray) -> dict[str, str]:
    """Which mark is seen in each corner of an image."""
    half = SPOT // 2
    seen = {}
    for place in CORNERS:
        row = half if "top" in place else image.shape[0] - half
        column = half if "left" in place else image.shape[1] - half
        distances = {name: np.abs(image[row, column].astype(int) - colour).sum() for name, colour in CORNERS.items()}
        seen[place] = min(distances, key=distances.get)
    return seen


def grey_of(image: np.ndarray) -> float:
    return float(image[image.shape[0] // 2, image.shape[1] // 2].mean())


def write_libero(folder: Path, episodes: list[dict], task: str = TASK) -> Path:
    """Images upside down; obs[j] shows frame j + 1, so the first frame is lost and one comes after the last."""
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / f"{task}_demo.hdf5", "w") as file:
        data = file.create_group("data")
        data.attrs["problem_info"] = json.dumps({"language_instruction": INSTRUCTION})
        data.attrs["macros_image_convention"] = "opengl"
        for number, views in enumerate(episodes):
            demo = data.create_group(f"demo_{number}")
            demo.attrs["model_file"] = "<mujoco/>"
            demo["states"] = np.random.default_rng(number).normal(size=(len(views["side"]), 11))
            for name, video in (("agentview_rgb", views["side"]), ("eye_in_hand_rgb", views["effector"])):
                demo[f"obs/{name}"] = np.concatenate([video[1:], video[-1:]])[:, ::-1]
    return folder


def write_atm(folder: Path, episodes: list[dict], task: str = TASK) -> Path:
    """`<folder>/<task>_demo/demo_<i>.hdf5`: upright, channels first, a leading axis of one."""
    for number, views in enumerate(episodes):
        path = folder / f"{task}_demo" / f"demo_{number}.hdf5"
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            root = file.create_group("root")
            root["actions"] = np.zeros((len(views["side"]), 7))
            root["task_emb_bert"] = np.zeros(768, np.float32)
            root["extra_states/ee_pos"] = np.zeros((len(views["side"]), 3))
            for name, video in (("agentview", views["side"]), ("eye_in_hand", views["effector"])):
                root[f"{name}/video"] = video.transpose(0, 3, 1, 2)[None]
                root[f"{name}/tracks"] = np.zeros((1, len(video), 9, 2), np.float32)
                root[f"{name}/vis"] = np.ones((1, len(video), 9), bool)
    return folder


def as_the_copies_of_libero(video: np.ndarray) -> np.ndarray:
    """LIBERO's renderer gives images upside down; the copies turned those by 180 degrees."""
    as_rendered = video[:, ::-1]
    return np.rot90(as_rendered, 2, axes=(1, 2))


def write_lerobot(
    folder: Path,
    episodes: list[tuple[str, dict]],
    version: str = "v2.1",
    dtype: str = "image",
    keys: tuple[str, str] = ("observation.images.image", "observation.images.wrist_image"),
    fps: int = 20,
    store=as_the_copies_of_libero,
    robot: str | None = "panda",
    declared: tuple[int, ...] = (256, 256, 3),
) -> Path:
    """A dataset of (instruction, views) episodes, both cameras stored through `store`; it says of itself what the copies
    of LIBERO say of `robot` and the `declared` size of its pictures."""
    shared = version.startswith("v3")
    cameras = dict(zip(keys, ("side", "effector"), strict=True))
    tasks = list(dict.fromkeys(instruction for instruction, _ in episodes))
    rows, listed, start = [], [], 0
    for number, (instruction, views) in enumerate(episodes):
        length = len(views["side"])
        stored = {key: store(views[view]) for key, view in cameras.items()}
        for frame in range(length):
            row = {
                "timestamp": np.float32(frame / fps).item(), "frame_index": frame, "episode_index": number,
                "index": start + frame, "task_index": tasks.index(instruction), "action": [0.0] * 7,
            }  # fmt: skip
            if dtype == "image":
                row |= {
                    key: {"bytes": png(video[frame]), "path": f"frame-{frame:06d}.png"} for key, video in stored.items()
                }
            rows.append(row)
        entry = {"episode_index": number, "tasks": [instruction], "length": length}
        if shared:
            entry |= {"data/chunk_index": 0, "data/file_index": 0, "stats/action/min": [0.0]}
            entry |= {"dataset_from_index": start, "dataset_to_index": start + length}
            for key in cameras:
                entry |= {f"videos/{key}/chunk_index": 0, f"videos/{key}/file_index": 0}
                entry |= {
                    f"videos/{key}/from_timestamp": start / fps,
                    f"videos/{key}/to_timestamp": (start + length) / fps,
                }
        elif dtype == "video":
            for key, video in stored.items():
                write_video(folder / f"videos/chunk-000/{key}/episode_{number:06d}.mp4", video, fps)
        listed.append(entry)
        start += length
    feature = {"dtype": dtype, "shape": list(declared), "names": ["height", "width", "channel"]}
    info = {
        "codebase_version": version, "robot_type": robot, "fps": fps, "total_episodes": len(episodes), "total_frames": start,
        "chunks_size": 1000, "features": dict.fromkeys(cameras, feature) | {"action": {"dtype": "float32", "shape": [7]}},
    }  # fmt: skip
    meta = folder / "meta"
    meta.mkdir(parents=True, exist_ok=True)
    if shared:
        info["data_path"] = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
        info["video_path"] = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
        write_parquet(meta / "episodes/chunk-000/file-000.parquet", listed)
        write_parquet(folder / "data/chunk-000/file-000.parquet", rows)
        if dtype == "video":
            for key, view in cameras.items():
                whole = np.concatenate([store(views[view]) for _, views in episodes])
                write_video(folder / f"videos/{key}/chunk-000/file-000.mp4", whole, fps)
    else:
        info["data_path"] = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
        info["video_path"] = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
        (meta / "episodes.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in listed))
        for number in range(len(episodes)):
            own = [row for row in rows if row["episode_index"] == number]
            write_parquet(folder / f"data/chunk-000/episode_{number:06d}.parquet", own)
    (meta / "info.json").write_text(json.dumps(info))
    return folder


def write_recordings(folder: Path, episodes: list[dict], end: str = ".mp4", fps: float = 20, task: str = TASK) -> Path:
    """A task's folder with a video an episode, or a folder of pictures where `end` is a picture's."""
    place = folder / task
    for number, views in enumerate(episodes):
        for view, video in views.items():
            if end in (".mp4", ".avi"):
                write_video(place / view / f"{number}{end}", video, fps)
            else:
                (place / view / str(number)).mkdir(parents=True)
                for frame, image in enumerate(video):
                    (place / view / str(number) / f"{frame}{end}").write_bytes(png(image))
    (place / "instruction.txt").write_text(INSTRUCTION + "\n")
    return folder


def write_video(path: Path, video: np.ndarray, fps: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    codec = cv2.VideoWriter_fourcc(*("mp4v" if path.suffix == ".mp4" else "MJPG"))
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, codec, fps, video.shape[2:0:-1])
    assert writer.isOpened()
    for frame in video:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    return path


def write_parquet(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pa.parquet.write_table(pa.Table.from_pylist(rows), path)


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))[1].tobytes()
