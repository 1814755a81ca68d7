"""`trajforecast simulate`: demos of the simulator."""

import os

from trajforecast_model.files.outputs import ready_folder
from trajforecast_model.verbs.arguments import ModeOptions, integers, path


def add(verbs) -> None:
    parser = verbs.add_parser("simulate", help="LIBERO demos by a scripted expert, or scenes of colliding blocks")
    parser.add_argument(
        "--suite", required=True, help="libero_object, libero_spatial, libero_goal, libero_90, libero_10; or blocks"
    )
    parser.add_argument("--episodes", required=True, type=int, help="successful episodes a task; scenes of blocks")
    parser.add_argument("--out", required=True, type=path)
    parser.add_argument(
        "--seed", type=int, default=0, help="first of the seeds; those where the expert fails are passed over"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="simulator processes")
    libero = ModeOptions(parser, "LIBERO suites")
    libero.add("--tasks", type=integers, help="task ids of the suite, e.g. 0,1,2")
    libero.add("--futures", type=int, help="demos of each beginning, with other targets (default: 1)")
    libero.add("--states-only", action="store_true", help="leave the images out; prepare renders them")
    blocks = ModeOptions(parser, "blocks")
    blocks.add("--rollouts", type=int, help="futures of each scene (default: 1)")
    blocks.add("--primitives", help="shapes: seen, or unseen ones to test on (default: seen)")

    def run(args):
        ready_folder("out", args.out)
        if args.suite == "blocks":
            libero.refuse(args, "--suite blocks")
            from trajforecast_model.sim.blocks.generate import BlockSettings, simulate_blocks

            settings = BlockSettings(**blocks.given(args))
            return simulate_blocks(args.episodes, settings, args.out, args.seed, args.workers)
        blocks.refuse(args, f"--suite {args.suite}")
        options = libero.given(args)
        if "tasks" not in options:
            raise ValueError(f"--tasks is missing: say which tasks of {args.suite}, e.g. --tasks 0,1,2")
        from trajforecast_model.sim.generate import simulate

        simulate(
            args.suite, options["tasks"], args.episodes, args.out, args.seed, args.workers,
            images="states_only" not in options, futures=options.get("futures", 1),
        )  # fmt: skip

    parser.set_defaults(run=run)
