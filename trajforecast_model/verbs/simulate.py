"""`trajforecast simulate`: demos of the simulator."""

from trajforecast_model.files.outputs import ready_folder
from trajforecast_model.verbs.arguments import ModeOptions, add_workers, integers, path, workers_of


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
    add_workers(parser, "simulator processes (default: one a core)")
    libero = ModeOptions(parser, "LIBERO suites")
    libero.add("--tasks", type=_tasks, help="task ids of the suite, e.g. 0,1,2, or all")
    libero.add("--futures", type=int, help="demos of each beginning, with other targets (default: 1)")
    libero.add("--states-only", action="store_true", help="leave the images out; prepare renders them")
    libero.add("--count", action="store_true", help="only count of how many episodes a task is solved; keep no demos")
    blocks = ModeOptions(parser, "blocks")
    blocks.add("--rollouts", type=int, help="futures of each scene (default: 1)")
    blocks.add("--primitives", help="shapes: seen, or unseen ones to test on (default: seen)")

    def run(args):
        ready_folder("out", args.out)
        if args.suite == "blocks":
            libero.refuse(args, "--suite blocks")
            from trajforecast_model.sim.blocks.generate import BlockSettings, simulate_blocks

            settings = BlockSettings(**blocks.given(args))
            with workers_of(args, args.out) as (run_jobs, workers):
                return simulate_blocks(args.episodes, settings, args.out, args.seed, workers, run_jobs)
        blocks.refuse(args, f"--suite {args.suite}")
        options = libero.given(args)
        if "tasks" not in options:
            raise ValueError(f"--tasks is missing: say which tasks of {args.suite}, e.g. --tasks 0,1,2")
        tasks = options["tasks"]
        if tasks == "all":
            from trajforecast_model.sim.environment import all_tasks

            tasks = all_tasks(args.suite)
        if "count" in options:
            return _count(args, tasks)
        from trajforecast_model.sim.generate import simulate

        with workers_of(args, args.out) as (run_jobs, workers):
            simulate(
                args.suite, tasks, args.episodes, args.out, args.seed, workers,
                images="states_only" not in options, futures=options.get("futures", 1), run=run_jobs,
            )  # fmt: skip

    parser.set_defaults(run=run)


def _count(args, tasks: list[int]) -> None:
    from trajforecast_model.sim.successes import count_successes

    with workers_of(args, args.out) as (run_jobs, workers):
        counted = count_successes(args.suite, tasks, args.episodes, args.out, args.seed, workers, run_jobs)
        print("| task | instruction | solved |\n|---|---|---|")
        for task, solved, tried in counted:
            print(f"| {task.suite} {task.number} | {task.instruction} | {solved} of {tried} |", flush=True)


def _tasks(text: str) -> list[int] | str:
    """The type of an argument like 0,1,2 or all."""
    return text if text == "all" else integers(text)
