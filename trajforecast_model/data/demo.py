"""A demo: one recorded episode, whichever kind of file it comes from."""

from dataclasses import dataclass, field, replace

import numpy as np

from trajforecast_model.tracks.exact_tracks import BodyPoses, CameraPoses

ACTION = "action"


@dataclass(frozen=True)
class PointTracks:
    """Where N points of a recording's first frame are in each of its frames, as the recording itself says."""

    positions: np.ndarray  # float32 [frames, N, 2], pixels
    visible: np.ndarray  # bool [frames, N]


@dataclass(frozen=True)
class SeenGeometry:
    """What a recording itself says of where the points of a view lie, over its frames."""

    depth: np.ndarray  # float32 [frames, h, w], metres along the optical axis, of each pixel
    body: np.ndarray  # uint8 or uint16 [frames, h, w], which of the bodies it shows
    camera: CameraPoses  # of pictures of h x w pixels
    bodies: BodyPoses

    def at(self, picked: list[int]) -> "SeenGeometry":
        """Of some of the frames."""
        camera = replace(
            self.camera, positions=self.camera.positions[picked], rotations=self.camera.rotations[picked]
        )  # fmt: skip
        bodies = BodyPoses(self.bodies.positions[picked], self.bodies.rotations[picked])
        return SeenGeometry(self.depth[picked], self.body[picked], camera, bodies)


@dataclass(frozen=True)
class Demo:
    """One recorded episode of `num_frames` frames, numbered from 0.

    images: by view and frame number, uint8 [height, width, 3], RGB, upright; frames without a recorded image are not
    there. states: float64 [num_frames, 1 + nq + nv] and model_xml, the scene they are of, where the recording has them.
    tracks: by view, in pixels of its images, where the recording has them. numbers: what else was recorded at each frame,
    float32 [num_frames, D] by LeRobot's name: `action`, `observation.state`. geometry: by view, where it is recorded. notes: what there is to say of how it was read.
    """

    task: str
    name: str
    instruction: str
    num_frames: int
    fps: float
    images: dict[str, dict[int, np.ndarray]] = field(default_factory=dict)
    states: np.ndarray | None = None
    model_xml: str | None = None
    tracks: dict[str, PointTracks] = field(default_factory=dict)
    numbers: dict[str, np.ndarray] = field(default_factory=dict)
    geometry: dict[str, SeenGeometry] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def image(self, view: str, frame: int) -> np.ndarray | None:
        """The recorded image, or None."""
        return self.images.get(view, {}).get(frame)


def frames_at_rate(num_frames: int, fps: float, dt: float) -> list[int]:
    """The recorded frames nearest to 0, dt, 2 dt ... seconds.

    Raises:
        ValueError: where the recording is slower than that, so that frames would have to be invented, or gives fewer
            than two frames, between which nothing moves.
    """
    step = dt * fps
    if step < 0.99:
        raise ValueError(
            f"recorded at {fps:g} frames a second, {1 / dt:g} wanted; give --dt {1 / fps:g}, or --fps where the "
            "recording names a wrong rate"
        )
    if step < 1.01:
        frames = list(range(num_frames))
    else:
        # The smallest nudge up, so that a frame in the middle is rounded alike everywhere.
        frames = [int(i * step + 0.5 + 1e-6) for i in range(int((num_frames - 1) / step + 1e-6) + 1)]
    if len(frames) < 2:
        raise ValueError(f"recorded {num_frames} frame(s) at {fps:g} a second, expected two or more {dt:g} s apart")
    return frames


def at_rate(demo: Demo, dt: float) -> Demo:
    """The demo with a frame every `dt` seconds. Raises ValueError where it is recorded at a lower rate.

    Of a faster recording it has no actions: one that was meant for the next recorded frame is none for a later one.
    """
    picked = frames_at_rate(demo.num_frames, demo.fps, dt)
    if len(picked) == demo.num_frames:
        return demo
    images = {
        view: {new: recorded[old] for new, old in enumerate(picked) if old in recorded}
        for view, recorded in demo.images.items()
    }
    states = None if demo.states is None else demo.states[picked]
    tracks = {view: PointTracks(told.positions[picked], told.visible[picked]) for view, told in demo.tracks.items()}
    numbers = {name: values[picked] for name, values in demo.numbers.items() if name != ACTION}
    return replace(
        demo,
        num_frames=len(picked),
        fps=1 / dt,
        images=images,
        states=states,
        tracks=tracks,
        numbers=numbers,
        geometry={view: seen.at(picked) for view, seen in demo.geometry.items()},
    )
