"""Labels that came with the recording: a tracker of others followed the grid of its first frame, and stored the tracks."""

import numpy as np

from trajforecast_model.data.demo import Demo
from trajforecast_model.data.shards import DatasetInfo, Window
from trajforecast_model.data.windows import history_of, window_frames


class StoredLabeler:
    """One window a view and recording, whose history, or where it has none its present, begins in the first frame."""

    def label(self, demo: Demo, info: DatasetInfo) -> list[Window]:
        start = start_of(demo.num_frames, info)
        frames, num_real = window_frames(start, demo.num_frames, info.num_frames)
        windows = []
        for view in info.views:
            if view not in demo.tracks:
                raise ValueError(
                    f"{demo.task} {demo.name} has no stored tracks of the view {view}; use a point tracker"
                )
            images, stored = demo.images[view], demo.tracks[view]
            kept = [*range(start), *frames]
            tracks = stored.positions[kept].reshape(-1, *info.grid, 2).astype(np.float32)
            visible = stored.visible[kept].reshape(-1, *info.grid)
            windows.append(
                Window(
                    task=demo.task,
                    demo=demo.name,
                    start=start,
                    view=view,
                    instruction=demo.instruction,
                    image=images[start],
                    tracks=tracks[start:],
                    visibility=visible[start:],
                    num_real_frames=num_real,
                    **history_of(tracks[:start], visible[:start], start),
                    pictures_between=tuple(images[frame] for frame in range(start)) if info.history_pictures else None,
                )
            )
        return windows


def start_of(num_frames: int, info: DatasetInfo) -> int:
    """Where the present of the one window is. Raises ValueError where nothing follows it."""
    start = info.history_frames
    if num_frames < start + 2:
        raise ValueError(
            f"has {num_frames} frames {info.dt:.4g} s apart; with --history {start} a window needs {start + 2} or more: "
            "give a shorter history"
        )
    return start
