"""`trajforecast bench`: how long forecasts and trainings take, and how much memory; a subject each."""

import argparse
from pathlib import Path

from trajforecast_model.files.outputs import ready_file
from trajforecast_model.verbs.arguments import add_machine, checkpoint, integers, path


def add(verbs) -> None:
    """Without a subject, `bench --checkpoint DIR` times that checkpoint's forecasts."""
    parser = verbs.add_parser("bench", help="how long forecasts take and how much memory they need")
    parser.add_argument(
        "--checkpoint", type=checkpoint, help="folder, shipped name or hub id, whose forecasts are timed"
    )
    parser.add_argument("-k", type=int, default=8, help="number of sampled futures")
    parser.add_argument("--steps", type=int, default=None, help="solver steps (default: the checkpoint's)")
    parser.add_argument("--views", type=int, default=2, help="number of images")
    parser.add_argument("--runs", type=int, default=20, help="forecasts that count, after two that do not")
    _add_machine_and_report(parser, dtype="float32")
    parser.set_defaults(run=_run_forecast)
    subjects = parser.add_subparsers(dest="subject", metavar="SUBJECT")
    for add_subject in (_official, _training, _sizes, _scaling):
        add_subject(subjects)


def _run_forecast(args) -> None:
    from trajforecast_model.benchmarks.forecast_time import bench

    if args.checkpoint is None:
        raise ValueError("give --checkpoint DIR to time its forecasts, or a subject: trajforecast bench --help")
    bench(args.checkpoint, args.k, args.steps, args.views, args.runs, args.device, args.dtype, _report(args))


def _official(subjects) -> None:
    parser = subjects.add_parser("official", help="ours beside the official code: same weights, precision and inputs")
    parser.add_argument("source", type=path, help="where you cloned github.com/gboduljak/what-happens-next")
    parser.add_argument("--size", default="B", choices=["S", "B", "L"])
    parser.add_argument("-k", type=int, default=8, help="number of sampled futures")
    parser.add_argument("--steps", type=int, default=9, help="network evaluations; the paper's 10 points are 9")
    parser.add_argument("--views", type=int, default=2, help="number of images")
    parser.add_argument("--runs", type=int, default=3, help="pairs that count, after one that does not")
    parser.add_argument("--depth", type=int, default=None, help="fewer blocks in every network, for a quick look")
    _add_machine_and_report(parser, dtype="bfloat16")

    def run(args) -> None:
        from trajforecast_model.benchmarks.against_official import compare_with_official

        compare_with_official(
            args.source, size=args.size, views=args.views, k=args.k, steps=args.steps, runs=args.runs,
            depth=args.depth, device=args.device, dtype=args.dtype, out=_report(args),
        )  # fmt: skip

    parser.set_defaults(run=run)


def _training(subjects) -> None:
    parser = subjects.add_parser("training", help="our training step beside the official one, and the loader alone")
    parser.add_argument("source", type=path, help="where you cloned github.com/gboduljak/what-happens-next")
    parser.add_argument("--size", default="B", choices=["S", "B", "L"])
    parser.add_argument("--batch", type=int, default=8, help="windows a step")
    parser.add_argument("--runs", type=int, default=5, help="pairs that count, after one that does not")
    parser.add_argument("--depth", type=int, default=None, help="fewer blocks in every network, for a quick look")
    parser.add_argument("--data", type=path, default=None, help="folder written by prepare, whose loader is timed")
    _add_machine_and_report(parser, dtype="bfloat16")

    def run(args) -> None:
        from trajforecast_model.benchmarks.training_step import compare_training

        compare_training(
            args.source, size=args.size, batch=args.batch, runs=args.runs, depth=args.depth, data=args.data,
            device=args.device, precision=args.dtype, out=_report(args),
        )  # fmt: skip

    parser.set_defaults(run=run)


def _sizes(subjects) -> None:
    parser = subjects.add_parser("sizes", help="the paper's sizes on this machine: latency, memory, throughput, floor")
    parser.add_argument("--sizes", default="S,B,L")
    parser.add_argument(
        "--evaluations",
        type=integers,
        default=[9, 4, 2, 1],
        help="network evaluations; below 9 those of few-step students",
    )
    parser.add_argument("-k", type=int, default=8, help="number of sampled futures")
    parser.add_argument("--views", type=int, default=2, help="number of images")
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--batch", type=int, default=8, help="forecasts at once, for the throughput")
    parser.add_argument("--depth", type=int, default=None, help="fewer blocks in every network, for a quick look")
    parser.add_argument(
        "--compile",
        nargs="?",
        const="default",
        metavar="MODE",
        help="networks by torch.compile, which takes minutes: default; reduce-overhead (CUDA graphs); max-autotune; or graphs, which compiles nothing",
    )
    _add_machine_and_report(parser, dtype="bfloat16", device="cuda")

    def run(args) -> None:
        from trajforecast_model.benchmarks.sizes import time_sizes

        time_sizes(
            args.sizes.split(","), args.evaluations, views=args.views, k=args.k, runs=args.runs,
            batch=args.batch, depth=args.depth, compile=args.compile, device=args.device, dtype=args.dtype, out=_report(args),
        )  # fmt: skip

    parser.set_defaults(run=run)


def _scaling(subjects) -> None:
    parser = subjects.add_parser(
        "scaling", help="cost against samples, grid, frames and views, and which term dominates"
    )
    parser.add_argument("--size", default="B", choices=["S", "B", "L"])
    parser.add_argument("--steps", type=int, default=9, help="network evaluations")
    parser.add_argument("--runs", type=int, default=0, help="also measure, this often; 0 only counts FLOPs")
    parser.add_argument("--depth", type=int, default=None, help="fewer blocks in every network, for a quick look")
    _add_machine_and_report(parser, dtype="bfloat16")

    def run(args) -> None:
        from trajforecast_model.benchmarks.scaling import scale

        scale(
            args.size,
            args.steps,
            runs=args.runs,
            depth=args.depth,
            device=args.device,
            dtype=args.dtype,
            out=_report(args),
        )

    parser.set_defaults(run=run)


def _report(args) -> Path | None:
    return None if args.out is None else ready_file("out", args.out)


def _add_machine_and_report(parser: argparse.ArgumentParser, dtype: str, device: str = "cpu") -> None:
    add_machine(parser, dtype, device)
    parser.add_argument("--out", type=path, default=None, help="JSON report")
