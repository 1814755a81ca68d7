"""`trajforecast prepare`: demos to training shards."""

import os

from trajforecast_model.files.outputs import ready_folder
from trajforecast_model.verbs.arguments import ModeOptions, path


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
        help="exact, lucas_kanade, alltracker, tapnext or cotracker3 (default: exact; of bags lucas_kanade)",
    )
    parser.add_argument(
        "--workers", type=int, default=None, help="default: a process a core; one for a labeler on CUDA"
    )
    demos = ModeOptions(parser, "demos")
    demos.add("--labeler-weights", type=path, metavar="FILE", help="of a point tracker")
    demos.add("--labeler-checkout", type=path, metavar="DIR", help="its source, if not installed")
    demos.add("--labeler-device", help="cpu, cuda or cuda:1 (default: cpu)")
    demos.add("--stride", type=int, help="frames between the starts of two windows (default: 1)")
    demos.add("--dt", type=float, help="seconds between two frames of a window (default: 0.05)")
    demos.add("--history", type=int, help="past frames into which a window's points are followed back (default: 0)")
    demos.add("--fps", type=float, help="true rate of recordings that name none or a wrong one")
    demos.add("--orientation", help="of stored images: upright, upside_down, mirrored or rotated (default: by kind)")
    demos.add(
        "--view", action="append", metavar="NAME[=CAMERA]", help="a view of the dataset (default: side, effector)"
    )
    demos.add(
        "--instruction", metavar="TEXT", help="what the robot is told, for recordings that have no words of their own"
    )
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
    blocks.add("--frames", type=int, metavar="SIDE", help="also store all frames, so large")

    def run(args):
        from trajforecast_model.data.prepare_blocks import holds_block_scenes, prepare_blocks

        ready_folder("out", args.out)
        scenes = [folder for folder in args.demos if holds_block_scenes(folder)]
        if scenes:
            if len(args.demos) > 1:
                raise ValueError(f"{scenes[0]} holds block scenes, which are prepared by themselves: name nothing else")
            for others in (demos, bags):
                others.refuse(args, "prepare of block scenes")
            return prepare_blocks(
                scenes[0], args.out, os.cpu_count() if args.workers is None else args.workers,
                frame_side=blocks.given(args).get("frames"), labeler=args.labeler or "exact",
            )  # fmt: skip
        from trajforecast_model.data.labelers.trackers.interface import TrackerOptions
        from trajforecast_model.data.plan import parse_share
        from trajforecast_model.data.prepare import default_workers, prepare
        from trajforecast_model.data.sources.find import is_all_bags
        from trajforecast_model.data.sources.interface import BagOptions, SourceOptions

        blocks.refuse(args, "prepare of demos")
        options = demos.given(args)
        tracker = TrackerOptions(
            options.get("labeler_checkout"), options.get("labeler_weights"), options.get("labeler_device", "cpu")
        )
        cameras = dict(view.partition("=")[::2] for view in options.get("view", ("side", "effector")))
        return prepare(
            args.demos, args.out, args.labeler or ("lucas_kanade" if is_all_bags(args.demos) else "exact"), options.get("stride", 1),
            default_workers(tracker) if args.workers is None else args.workers, tracker=tracker,
            reading=SourceOptions(
                options.get("orientation"), options.get("fps"), {view: name or None for view, name in cameras.items()},
                instruction=options.get("instruction", "").strip(), bags=BagOptions(**bags.given(args)),
            ),
            dt=options.get("dt", 0.05), history=options.get("history", 0), share=parse_share(options.get("shard", "1/1")), dry_run="dry_run" in options,
        )  # fmt: skip

    parser.set_defaults(run=run)
