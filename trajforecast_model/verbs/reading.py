"""Arguments of verbs that read demos: the labeler, and how recordings are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trajforecast_model.verbs.arguments import ModeOptions, path

if TYPE_CHECKING:  # not needed for --help
    from trajforecast_model.data.labelers.trackers.interface import TrackerOptions
    from trajforecast_model.data.sources.interface import SourceOptions


def add_labeler(options: ModeOptions) -> None:
    options.add("--labeler-weights", type=path, metavar="FILE", help="of a point tracker")
    options.add("--labeler-checkout", type=path, metavar="DIR", help="its source, if not installed")
    options.add("--labeler-device", help="cpu, cuda or cuda:1 (default: cpu)")


def add_cameras(options: ModeOptions) -> None:
    options.add("--fps", type=float, help="true rate of recordings that name none or a wrong one")
    options.add("--orientation", help="of stored images: upright, upside_down, mirrored or rotated (default: by kind)")
    options.add(
        "--view", action="append", metavar="NAME[=CAMERA]", help="a view of the dataset (default: side, effector)"
    )
    options.add(
        "--instruction", metavar="TEXT", help="what the robot is told, for recordings that have no words of their own"
    )


def add_bags(options: ModeOptions) -> None:
    options.add("--stamps", metavar="WHICH", help="header: when pictures were taken (default); receive: when they came")
    options.add(
        "--max-age", type=float, metavar="S", help="seconds that a picture may be old (default: 0.1, or two frames)"
    )
    options.add("--instruction-topic", metavar="TOPIC", help="a String: what the robot is told from then on")
    options.add(
        "--episodes-topic", metavar="TOPIC", help="each message begins an episode; of Bool, true begins, false ends"
    )


def tracker_of(given: dict[str, Any]) -> TrackerOptions:
    from trajforecast_model.data.labelers.trackers.interface import TrackerOptions

    return TrackerOptions(
        given.get("labeler_checkout"), given.get("labeler_weights"), given.get("labeler_device", "cpu")
    )


def reading_of(
    given: dict[str, Any],
    bags: dict[str, Any],
    *,
    views: tuple[str, ...] = ("side", "effector"),
    image_size: tuple[int, int] = (128, 128),
    grid: tuple[int, int] = (64, 64),
) -> SourceOptions:
    """How recordings are to be read.

    Args:
        given, bags: the options that were given, by name.
        views, image_size: where none were given.
    """
    from trajforecast_model.data.sources.interface import BagOptions, SourceOptions

    cameras = dict(view.partition("=")[::2] for view in given.get("view", views))
    return SourceOptions(
        given.get("orientation"),
        given.get("fps"),
        {view: name or None for view, name in cameras.items()},
        image_size=given.get("image_size", image_size),
        instruction=given.get("instruction", "").strip(),
        grid=grid,
        captions=given.get("captions"),
        bags=BagOptions(**bags),
    )
