"""`trajforecast rollout`: how often a policy solves its tasks."""

import argparse

from trajforecast_model.files.outputs import ready_file
from trajforecast_model.sim.perturbations import PERTURBATIONS
from trajforecast_model.verbs.arguments import checkpoint, integers, path


def add(verbs) -> None:
    parser = verbs.add_parser("rollout", help="success of a policy in the simulator, over tasks and scenes")
    parser.add_argument(
        "--policy", required=True, type=checkpoint, help="folder of `train policy`, shipped name, expert, follower"
    )
    parser.add_argument("--forecaster", type=checkpoint, help="of the follower, which only follows forecasts")
    parser.add_argument("--suite", default="libero_object")
    parser.add_argument("--tasks", required=True, type=integers, help="task ids of the suite, e.g. 0,1,2")
    parser.add_argument("--resets", type=int, default=20, help="scenes a task")
    parser.add_argument("--seed", type=int, default=100_000, help="of each task's first scene")
    parser.add_argument("--horizon", type=int, default=300, help="control steps an episode, 20 a second; ATM's: 600")
    parser.add_argument("--swapped", action="store_true", help="tell the policy of another episode's forecasts")
    parser.add_argument("--every", type=int, help="control steps between two chunks (default: the policy's)")
    parser.add_argument("--blend", type=float, help="of a chunk with the one after it (default: the policy's)")
    parser.add_argument("-k", "--samples", type=int, help="futures of a forecast (default: the policy's)")
    parser.add_argument("--steps", type=int, help="network evaluations of a forecast (default: the policy's)")
    parser.add_argument(
        "--perturb",
        choices=PERTURBATIONS,
        help="LIBERO-PRO's: " + "; ".join(f"{name}, {what}" for name, what in PERTURBATIONS.items()),
    )
    parser.add_argument(
        "--film", type=_episode, action="append", default=[], metavar="TASK:SEED", help="MP4 beside --out"
    )
    parser.add_argument("--against", type=path, help="report of another policy, compared on the scenes of both")
    parser.add_argument("--workers", type=int, default=1, help="simulator processes")
    parser.add_argument("--out", required=True, type=path, help="JSON report; what it has is not done again")

    def run(args):
        ready_file("out", args.out)
        from trajforecast_model.evaluation.rollouts.runner import RolloutSettings, rollout

        settings = RolloutSettings(
            policy=args.policy, suite=args.suite, tasks=tuple(args.tasks), resets=args.resets, seed=args.seed,
            horizon=args.horizon, swapped=args.swapped, every=args.every, blend=args.blend,
            samples=args.samples, steps=args.steps, perturb=args.perturb,
            forecaster=args.forecaster,
        )  # fmt: skip
        rollout(settings, args.out, args.workers, tuple(args.film), args.against)

    parser.set_defaults(run=run)


def _episode(text: str) -> tuple[int, int]:
    """The type of an argument like 3:100000: a task and a seed."""
    task, _, seed = text.partition(":")
    if not (task.isdecimal() and seed.isdecimal()):
        raise argparse.ArgumentTypeError(f"expected a task and a seed like 3:100000, got {text!r}")
    return int(task), int(seed)
