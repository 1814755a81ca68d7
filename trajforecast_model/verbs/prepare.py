"""`trajforecast prepare`: demos to training shards."""

import sys
from dataclasses import replace

from trajforecast_model.files.outputs import ready_folder
from trajforecast_model.verbs.arguments import ModeOptions, add_workers, path, size, workers_of


def add(verbs) -> None:
    parser = verbs.add_parser("prepare", help="demos to training shards")
    parser.add_argument(
        "demos",
        nargs="+",
        type=path,
        help="LIBERO, robomimic or ATM HDF5, LeRobot datasets, bags, videos; or folders; or one of block scenes",
    )
    parser.add_argument("--out", required=True, type=path)
    parser.add_argument(
        "--labeler",
        help="exact, lucas_kanade, alltracker, tapnext, cotracker3 or stored (default: exact; of bags lucas_kanade)",
    )
    add_workers(parser, "processes (default: one a core; one for a labeler on CUDA)")
    demos = ModeOptions(parser, "demos")
    demos.add("--labeler-weights", type=path, metavar="FILE", help="of a point tracker")
    demos.add("--labeler-checkout", type=path, metavar="DIR", help="its source, if not installed")
    demos.add("--labeler-device", help="cpu, cuda or cuda:1 (default: cpu)")
    demos.add("--stride", type=int, help="frames between the starts of two windows (default: 1)")
    demos.add("--dt", type=float, help="seconds between two frames of a window (default: 0.05)")
    demos.add("--image-size", type=size, metavar="HxW", help="pixels of a window's images (default: 128x128)")
    demos.add("--grid", type=size, metavar="ROWSxCOLUMNS", help="query points of a window (default: 64x64)")
    parser.add_argument("--frames", type=int, metavar="T", help="of a window, the present one included (default: 16)")
    demos.add("--history", type=int, help="past frames for which a window tells where its points were (default: 0)")
    demos.add("--history-pictures", action="store_true", help="also store the pictures of these past frames")
    demos.add(
        "--anchor",
        choices=["present", "first"],
        help="frame in which a window's points form the grid, the first of its past",
    )
    demos.add("--fps", type=float, help="true rate of recordings that name none or a wrong one")
    demos.add("--orientation", help="of stored images: upright, upside_down, mirrored or rotated (default: by kind)")
    demos.add(
        "--view", action="append", metavar="NAME[=CAMERA]", help="a view of the dataset (default: side, effector)"
    )
    demos.add(
        "--instruction", metavar="TEXT", help="what the robot is told, for recordings that have no words of their own"
    )
    demos.add("--captions", type=path, metavar="FILE", help="CSV file of what videos with stored tracks show")
    demos.add("--shard", metavar="I/N", help="do this share only; other machines do the others (default: 1/1)")
    demos.add("--dry-run", action="store_true", help="say what would be done and write nothing")
    bags = ModeOptions(parser, "bags")
    bags.add("--stamps", metavar="WHICH", help="header: when pictures were taken (default); receive: when they came")
    bags.add(
        "--max-age", type=float, metavar="S", help="seconds that a picture may be old (default: 0.1, or two frames)"
    )
    bags.add("--instruction-topic", metavar="TOPIC", help="a String: what the robot is told from then on")
    bags.add(
        "--episodes-topic", metavar="TOPIC", help="each message begins an episode; of Bool, true begins, false ends"
    )
    blocks = ModeOptions(parser, "block scenes")
    blocks.add("--frame-size", type=int, metavar="SIDE", help="also store all frames, so large")

    def run(args):
        from trajforecast_model.data.prepare_blocks import holds_block_scenes, prepare_blocks

        ready_folder("out", args.out)
        scenes = [folder for folder in args.demos if holds_block_scenes(folder)]
        if scenes:
            if len(args.demos) > 1:
                raise ValueError(f"{scenes[0]} holds block scenes, which are prepared by themselves: name nothing else")
            for others in (demos, bags):
                others.refuse(args, "prepare of block scenes")
            with workers_of(args, args.out) as (run_jobs, workers):
                return prepare_blocks(
                    scenes[0], args.out, workers, run=run_jobs,
                    frame_side=_frame_side(blocks.given(args).get("frame_size"), args.frames),
                    labeler=args.labeler or "exact",
                )  # fmt: skip
        from trajforecast_model.data.labelers.kinds import STORED
        from trajforecast_model.data.labelers.trackers.interface import TrackerOptions
        from trajforecast_model.data.plan import parse_share
        from trajforecast_model.data.prepare import default_workers, prepare
        from trajforecast_model.data.sources.find import is_all_bags
        from trajforecast_model.data.sources.interface import BagOptions, SourceOptions
        from trajforecast_model.data.sources.trajloom.clips import IMAGE_SIZE, LAYOUT
        from trajforecast_model.data.windows import WindowLayout

        blocks.refuse(args, "prepare of demos")
        options = demos.given(args)
        tracker = TrackerOptions(
            options.get("labeler_checkout"), options.get("labeler_weights"), options.get("labeler_device", "cpu")
        )
        # The geometry of TrajLoom's files for `stored`, unless another is asked for.
        stored = args.labeler == STORED
        views = options.get("view", ("side",) if stored else ("side", "effector"))
        cameras = dict(view.partition("=")[::2] for view in views)
        asked = {name: options[name] for name in ("grid", "history", "history_pictures", "anchor") if name in options}
        if args.frames is not None:
            asked["num_frames"] = args.frames
        layout = replace(LAYOUT if stored else WindowLayout(), **asked)
        dry_run = "dry_run" in options
        if dry_run:
            args.ray = None  # nothing is done anywhere
        on_gpu = tracker.device.startswith("cuda")
        with workers_of(args, args.out, default_workers(tracker), on_gpu) as (run_jobs, workers):
            return prepare(
                args.demos, args.out, args.labeler or ("lucas_kanade" if is_all_bags(args.demos) else "exact"), options.get("stride", 1),
                workers, run=run_jobs, tracker=tracker,
                reading=SourceOptions(
                    options.get("orientation"), options.get("fps"), {view: name or None for view, name in cameras.items()},
                    image_size=options.get("image_size", IMAGE_SIZE if stored else SourceOptions.image_size),
                    instruction=options.get("instruction", "").strip(), grid=layout.grid, captions=options.get("captions"),
                    bags=BagOptions(**bags.given(args)),
                ),
                dt=options.get("dt"), layout=layout, share=parse_share(options.get("shard", "1/1")),
                dry_run=dry_run,
            )  # fmt: skip

    parser.set_defaults(run=run)


def _frame_side(asked: int | None, frames: int | None) -> int | None:
    """The pixels a side of block scenes' frames, which were asked for by --frames before other windows had that."""
    if frames is None:
        return asked
    if asked is not None:
        raise ValueError(f"--frames {frames}: windows of block scenes are whole rollouts; leave it out")
    print(f"--frames {frames}: of block scenes this is now called --frame-size, and taken so", file=sys.stderr)
    return frames
