"""Makes the episode file that the demo plays: a recorded demo rendered large, with its geometry at the query points.

python -m trajforecast_model.data.clip DEMOS.hdf5 demo_0 OUT.npz
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from trajforecast_model.data.demo import Demo
from trajforecast_model.data.episode import Episode, ViewGeometry
from trajforecast_model.data.sources.libero_hdf5 import LiberoFile
from trajforecast_model.sim.mujoco_setup import configure_mujoco
from trajforecast_model.tracks.exact_tracks import BodyPoses, CameraPoses, focal_length
from trajforecast_model.tracks.grid import query_points

VIEWS = ("side", "effector")
GRID = (64, 64)
FRAME_SIZE = (256, 256)
# Where tracks are made: the query points are centres of its pixels, so the depth under them is exact.
GEOMETRY_SIZE = (128, 128)
SECONDS_PER_FRAME = 0.05


def make_clip(demo: Demo, source: str) -> Episode:
    """Renders every frame of a demo from its states.

    Raises:
        ValueError: if the demo's scene cannot be shown.
    """
    frames = _render(demo)
    geometry, bodies = _measure(demo)
    return Episode(demo.instruction, SECONDS_PER_FRAME, source, frames, geometry, bodies)


def _render(demo: Demo) -> dict[str, np.ndarray]:
    from trajforecast_model.sim.scene.replay import Replay  # imports mujoco, which must be configured before

    replay = Replay(demo.model_xml, FRAME_SIZE)
    frames = {view: [] for view in VIEWS}
    for state in demo.states:
        replay.show(state)
        for view in VIEWS:
            frames[view].append(replay.image(view))
    replay.close()
    return {view: np.stack(pictures) for view, pictures in frames.items()}


def _measure(demo: Demo) -> tuple[dict[str, ViewGeometry], BodyPoses]:
    from trajforecast_model.sim.scene.replay import Replay

    replay = Replay(demo.model_xml, GEOMETRY_SIZE)
    column, row = np.floor(query_points(GRID, GEOMETRY_SIZE)).astype(int).transpose(2, 0, 1)  # each [H, W]
    body_poses, camera_poses = [], {view: [] for view in VIEWS}
    depth, body = {view: [] for view in VIEWS}, {view: [] for view in VIEWS}
    for state in demo.states:
        replay.show(state)
        body_poses.append(replay.body_poses())
        for view in VIEWS:
            camera_poses[view].append(replay.camera_pose(view))
            seen_depth, seen_body = replay.geometry(view)
            depth[view].append(seen_depth[row, column])
            body[view].append(seen_body[row, column])
    # Only bodies that some camera sees are kept, numbered anew.
    visible = np.unique(np.concatenate([np.unique(body[view]) for view in VIEWS]))
    geometry = {
        view: ViewGeometry(
            depth=np.stack(depth[view]),
            body=np.searchsorted(visible, np.stack(body[view])).astype(np.uint8),
            camera=CameraPoses(
                positions=np.stack([position for position, _ in camera_poses[view]]),
                rotations=np.stack([rotation for _, rotation in camera_poses[view]]),
                focal=focal_length(replay.field_of_view(view), GEOMETRY_SIZE[0]),
                image_size=GEOMETRY_SIZE,
            ),
        )
        for view in VIEWS
    }
    replay.close()
    positions = np.stack([positions for positions, _ in body_poses])[:, visible]
    rotations = np.stack([rotations for _, rotations in body_poses])[:, visible]
    return geometry, BodyPoses(positions, rotations)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m trajforecast_model.data.clip", description=__doc__.splitlines()[0])
    parser.add_argument("demos", type=Path, help="HDF5 file in LIBERO's layout")
    parser.add_argument("demo", help="which of its demos, e.g. demo_0")
    parser.add_argument("out", type=Path)
    parser.add_argument("--source", default="", help="one line on where the demo comes from")
    args = parser.parse_args(arguments)
    try:
        configure_mujoco()
        episode = make_clip(
            LiberoFile.open(args.demos).read(args.demo), args.source or f"{args.demos.name}, {args.demo}"
        )
        episode.save(args.out)
    except (ValueError, OSError) as error:
        print(f"clip: error: {error}", file=sys.stderr)
        return 2
    print(f"wrote {args.out}: {len(episode.frames['side'])} frames, {args.out.stat().st_size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
