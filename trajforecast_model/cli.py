"""`trajforecast`: one program, one verb for each job. Each verb parses its arguments and calls one function.

Errors of use (ValueError and OSError from the verb), of memory and of missing extras end with exit code 2 and one message.
TRAJFORECAST_DEBUG=1 shows the traceback instead.
"""

import argparse
import os
import sys
from pathlib import Path

from trajforecast_model.arguments import ModeOptions, add_machine, integers
from trajforecast_model.explanations import explanation


def main(arguments: list[str] | None = None) -> int:
    parser = _parser()
    args = parser.parse_args(arguments)
    try:
        return args.run(args) or 0
    except Exception as error:
        line = explanation(error)
        if line is None or os.environ.get("TRAJFORECAST_DEBUG"):
            raise
        print(f"trajforecast {args.verb}: error: {line}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"trajforecast {args.verb}: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="trajforecast", description="Dense point-track forecasting for robots.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for add_verb in (
        _simulate,
        _prepare,
        _train,
        _predict,
        _evaluate,
        _few_steps,
        _compare,
        _labeler_eval,
        _convert,
        _export,
        _bench,
    ):
        add_verb(verbs)
    return parser


def _simulate(verbs) -> None:
    parser = verbs.add_parser("simulate", help="LIBERO demos by a scripted expert, or scenes of colliding blocks")
    parser.add_argument(
        "--suite", required=True, help="libero_object, libero_spatial, libero_goal, libero_90, libero_10; or blocks"
    )
    parser.add_argument("--episodes", required=True, type=int, help="successful episodes a task; scenes of blocks")
    parser.add_argument("--out", required=True, type=Path)
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


def _prepare(verbs) -> None:
    parser = verbs.add_parser("prepare", help="demos to training shards")
    parser.add_argument(
        "demos",
        nargs="+",
        type=Path,
        help="LIBERO or ATM HDF5, LeRobot datasets, videos; or folders; or one of block scenes",
    )
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--labeler", default="exact", help="exact, lucas_kanade, alltracker, tapnext or cotracker3")
    parser.add_argument(
        "--workers", type=int, default=None, help="default: a process a core; one for a labeler on CUDA"
    )
    demos = ModeOptions(parser, "demos")
    demos.add("--labeler-weights", type=Path, metavar="FILE", help="of a point tracker")
    demos.add("--labeler-checkout", type=Path, metavar="DIR", help="its source, if not installed")
    demos.add("--labeler-device", help="cpu, cuda or cuda:1 (default: cpu)")
    demos.add("--stride", type=int, help="frames between the starts of two windows (default: 1)")
    demos.add("--dt", type=float, help="seconds between two frames of a window (default: 0.05)")
    demos.add("--fps", type=float, help="true rate of recordings that name none or a wrong one")
    demos.add("--orientation", help="of stored images: upright, upside_down, mirrored or rotated (default: by kind)")
    demos.add(
        "--view", action="append", metavar="NAME[=CAMERA]", help="a view of the dataset (default: side, effector)"
    )
    demos.add("--shard", metavar="I/N", help="do this share only; other machines do the others (default: 1/1)")
    demos.add("--dry-run", action="store_true", help="say what would be done and write nothing")
    blocks = ModeOptions(parser, "block scenes")
    blocks.add("--frames", type=int, metavar="SIDE", help="also store all frames, so large")

    def run(args):
        from trajforecast_model.data.prepare_blocks import holds_block_scenes, prepare_blocks

        scenes = [folder for folder in args.demos if holds_block_scenes(folder)]
        if scenes:
            if len(args.demos) > 1:
                raise ValueError(f"{scenes[0]} holds block scenes, which are prepared by themselves: name nothing else")
            demos.refuse(args, "prepare of block scenes")
            return prepare_blocks(
                scenes[0], args.out, os.cpu_count() if args.workers is None else args.workers,
                frame_side=blocks.given(args).get("frames"), labeler=args.labeler,
            )  # fmt: skip
        from trajforecast_model.data.plan import parse_share
        from trajforecast_model.data.point_trackers.interface import TrackerOptions
        from trajforecast_model.data.prepare import default_workers, prepare
        from trajforecast_model.data.sources.interface import SourceOptions

        blocks.refuse(args, "prepare of demos")
        options = demos.given(args)
        tracker = TrackerOptions(
            options.get("labeler_checkout"), options.get("labeler_weights"), options.get("labeler_device", "cpu")
        )
        cameras = dict(view.partition("=")[::2] for view in options.get("view", ("side", "effector")))
        return prepare(
            args.demos, args.out, args.labeler, options.get("stride", 1),
            default_workers(tracker) if args.workers is None else args.workers, tracker=tracker,
            reading=SourceOptions(
                options.get("orientation"), options.get("fps"), {view: name or None for view, name in cameras.items()}
            ),
            dt=options.get("dt", 0.05), share=parse_share(options.get("shard", "1/1")), dry_run="dry_run" in options,
        )  # fmt: skip

    parser.set_defaults(run=run)


def _train(verbs) -> None:
    parser = verbs.add_parser(
        "train", help="train the track VAE, the denoiser, a few-step student of one, or a baseline"
    )
    parser.add_argument("stage", choices=["vae", "denoiser", "student", "atm", "track2act"])
    parser.add_argument("--config", required=True, type=Path, help="YAML, see config/train/")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="change one value of the config")

    def run(args):
        from trajforecast_model.training.run import train

        train(args.stage, args.config, args.set)

    parser.set_defaults(run=run)


def _predict(verbs) -> None:
    parser = verbs.add_parser("predict", help="forecast the tracks of one moment, from image files")
    parser.add_argument("--checkpoint", required=True, help="folder, shipped name or hub id")
    parser.add_argument("--image", action="append", required=True, metavar="VIEW=FILE", help="e.g. side=a.png")
    parser.add_argument("--instruction", required=True)
    parser.add_argument("-k", type=int, default=8, help="number of sampled futures")
    parser.add_argument("--steps", type=int, default=None, help="solver steps (default: the checkpoint's)")
    parser.add_argument("--seed", type=int, default=0)
    add_machine(parser)
    parser.add_argument("--out", required=True, type=Path, help="npz: tracks, mean_track, medoid, spread, views")
    parser.add_argument("--overlay", type=Path, default=None, help="PNG of the tracks drawn over the images")

    def run(args):
        from trajforecast_model.prediction import predict_files

        predict_files(
            args.checkpoint, args.image, args.instruction, args.k, args.steps, args.seed,
            args.device, args.dtype, args.out, args.overlay,
        )  # fmt: skip

    parser.set_defaults(run=run)


def _evaluate(verbs) -> None:
    parser = verbs.add_parser("evaluate", help="the LIBERO protocol on prepared data, beside the paper's table")
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--data", required=True, type=Path, help="folder written by prepare")
    parser.add_argument(
        "--protocol", default="libero", choices=["libero", "futures"], help="futures: scenes that go on in several ways"
    )
    parser.add_argument("-k", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--split", default="val", choices=["train", "val", "all"])
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--max-windows", type=int, default=None, help="only this many windows a view, or scenes (futures)"
    )
    add_machine(parser)
    parser.add_argument("--out", required=True, type=Path, help="JSON report")
    parser.add_argument("--table", type=Path, default=None, metavar="FILE", help="also the tables, as Markdown")
    parser.add_argument("--plots", type=Path, default=None, metavar="DIR", help="also figures, as PNG")

    def run(args):
        if args.protocol == "futures":
            from trajforecast_model.evaluation.futures import evaluate_futures

            if args.plots:
                raise ValueError("--plots: the futures protocol draws no figures; leave it out, or use --table")
            return evaluate_futures(
                args.checkpoint, args.data, args.k, args.out, split=args.split, steps=args.steps, seed=args.seed,
                max_scenes=args.max_windows, device=args.device, dtype=args.dtype, table=args.table,
            )  # fmt: skip
        from trajforecast_model.evaluation.protocol import evaluate

        evaluate(
            args.checkpoint, args.data, args.k, args.out, split=args.split, steps=args.steps, seed=args.seed,
            max_windows=args.max_windows, device=args.device, dtype=args.dtype, table=args.table, plots=args.plots,
        )  # fmt: skip

    parser.set_defaults(run=run)


def _labeler_eval(verbs) -> None:
    parser = verbs.add_parser("labeler-eval", help="point trackers against the exact labels of simulated demos")
    parser.add_argument("demos", nargs="+", type=Path, help="LIBERO HDF5 files with states, or folders of them")
    parser.add_argument("--labelers", required=True, help="e.g. lucas_kanade,alltracker")
    parser.add_argument("--per-task", type=int, default=None, help="only the first demos of each task")
    parser.add_argument("--windows", type=int, default=4, help="of each demo and view")
    parser.add_argument("--checkout", action="append", default=[], metavar="LABELER=FOLDER", help="its own source")
    parser.add_argument("--weights", action="append", default=[], metavar="LABELER=FILE")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", required=True, type=Path, help="JSON report")
    parser.add_argument("--table", type=Path, default=None, metavar="FILE", help="also the tables, as Markdown")

    def run(args):
        from trajforecast_model.evaluation.labeler_eval import evaluate_labelers

        return evaluate_labelers(
            args.demos, args.labelers.split(","), args.out, per_task=args.per_task, windows=args.windows,
            checkouts=_paths_by_name("--checkout", args.checkout), weights=_paths_by_name("--weights", args.weights),
            device=args.device, table=args.table,
        )  # fmt: skip

    parser.set_defaults(run=run)


def _compare(verbs) -> None:
    parser = verbs.add_parser(
        "compare", help="reports of evaluate side by side, with the first one's ratios to the others"
    )
    parser.add_argument("reports", nargs="+", type=Path, help="JSON reports on the same data")
    parser.add_argument("-k", type=int, default=None, help="number of samples (default: the largest that all have)")
    parser.add_argument("--out", type=Path, default=None, metavar="FILE", help="also the tables, as Markdown")

    def run(args):
        from trajforecast_model.evaluation.comparison import compare

        compare(args.reports, args.out, args.k)

    parser.set_defaults(run=run)


def _few_steps(verbs) -> None:
    parser = verbs.add_parser("few-steps", help="errors and diversity by solver and number of network evaluations")
    parser.add_argument("--checkpoint", required=True, help="every solver is tried on this one")
    parser.add_argument("--student", action="append", default=[], metavar="DIR", help="with its own solver and steps")
    parser.add_argument("--data", required=True, type=Path, help="folder written by prepare")
    parser.add_argument("--solvers", nargs="*", default=["euler"], help="e.g. euler heun ab2 ab2@shift2 euler@logit")
    parser.add_argument("--evaluations", type=int, nargs="*", default=[1, 2, 3, 4, 5, 9])
    parser.add_argument("-k", type=int, default=8, help="number of sampled futures")
    parser.add_argument("--split", default="val", choices=["train", "val", "all"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-windows", type=int, default=None, help="only this many windows a view")
    add_machine(parser)
    parser.add_argument("--out", required=True, type=Path, help="JSON report")
    parser.add_argument("--table", type=Path, default=None, metavar="FILE", help="also the table, as Markdown")

    def run(args):
        from trajforecast_model.evaluation.few_steps import sweep

        sweep(
            args.checkpoint, args.data, args.solvers, args.evaluations, args.out, students=args.student, k=args.k,
            split=args.split, seed=args.seed, max_windows=args.max_windows, device=args.device, dtype=args.dtype,
            table=args.table,
        )  # fmt: skip

    parser.set_defaults(run=run)


def _convert(verbs) -> None:
    parser = verbs.add_parser("convert", help="other projects' checkpoints to ours")
    sources = parser.add_subparsers(dest="source", required=True)
    whn = sources.add_parser("whn", help="official What-Happens-Next checkpoints")
    whn.add_argument("--denoiser", required=True, type=Path)
    whn.add_argument("--vae", type=Path, default=None, help="leave out for a model in track space")
    whn.add_argument("--out", required=True, type=Path)
    whn.add_argument("--config", type=Path, default=None, help="model YAML, for what the weights do not tell")

    def run(args):
        from trajforecast_model.networks.whn_checkpoint import convert_whn

        convert_whn(args.denoiser, args.vae, args.out, args.config)

    whn.set_defaults(run=run)
    atm = sources.add_parser("atm", help="ATM's released track transformers, as the baseline")
    atm.add_argument("--checkpoint", required=True, type=Path, help="state dict, e.g. model_best.ckpt")
    atm.add_argument("--out", required=True, type=Path)

    def run_atm(args):
        from trajforecast_model.baselines.atm_checkpoint import convert_atm

        convert_atm(args.checkpoint, args.out)

    atm.set_defaults(run=run_atm)
    amplify = sources.add_parser("amplify", help="AMPLIFY's released checkpoints, run by AMPLIFY's own code")
    amplify.add_argument("--checkpoint", required=True, type=Path, help="a bundle, e.g. latest.pt")
    amplify.add_argument("--checkout", required=True, type=Path, metavar="DIR", help="its source")
    amplify.add_argument("--sampling", default="argmax", help="of its codes: argmax, or topk for different samples")
    amplify.add_argument("--out", required=True, type=Path)

    def run_amplify(args):
        from trajforecast_model.baselines.amplify_checkpoint import convert_amplify

        convert_amplify(args.checkpoint, args.checkout, args.sampling, args.out)

    amplify.set_defaults(run=run_amplify)


def _export(verbs) -> None:
    parser = verbs.add_parser("export", help="the networks of a checkpoint for other runtimes")
    formats = parser.add_subparsers(dest="format", required=True)
    onnx = formats.add_parser("onnx", help="ONNX files of fixed shapes, float32")
    onnx.add_argument("--checkpoint", required=True, help="folder, shipped name or hub id")
    onnx.add_argument("--views", type=int, default=2, help="images of a forecast")
    onnx.add_argument("-k", type=int, default=8, help="samples of each")
    onnx.add_argument("--out", required=True, type=Path, help="new folder")

    def run(args):
        from trajforecast_model.export import export_onnx

        export_onnx(args.checkpoint, args.out, views=args.views, k=args.k)

    parser.set_defaults(run=run)


def _bench(verbs) -> None:
    from trajforecast_model.benchmarks.command import add_arguments

    add_arguments(verbs.add_parser("bench", help="how long forecasts take and how much memory they need"))


def _paths_by_name(option: str, arguments: list[str]) -> dict[str, Path]:
    pairs = [argument.partition("=") for argument in arguments]
    for (name, _, path), argument in zip(pairs, arguments, strict=True):
        if not (name and path):
            raise ValueError(f"{option} {argument}: expected LABELER=PATH")
    return {name: Path(path).expanduser() for name, _, path in pairs}  # no shell but bash expands ~ after =


if __name__ == "__main__":
    sys.exit(main())
