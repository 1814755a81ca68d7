"""`trajforecast labeler-eval`: point trackers against exact labels."""

from pathlib import Path

from trajforecast_model.files.paths import expanded
from trajforecast_model.verbs.arguments import path


def add(verbs) -> None:
    parser = verbs.add_parser("labeler-eval", help="point trackers against the exact labels of simulated demos")
    parser.add_argument("demos", nargs="+", type=path, help="LIBERO HDF5 files with states, or folders of them")
    parser.add_argument("--labelers", required=True, help="e.g. lucas_kanade,alltracker")
    parser.add_argument("--per-task", type=int, default=None, help="only the first demos of each task")
    parser.add_argument("--windows", type=int, default=4, help="of each demo and view")
    parser.add_argument("--checkout", action="append", default=[], metavar="LABELER=FOLDER", help="its own source")
    parser.add_argument("--weights", action="append", default=[], metavar="LABELER=FILE")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", required=True, type=path, help="JSON report")
    parser.add_argument("--table", type=path, default=None, metavar="FILE", help="also the tables, as Markdown")

    def run(args):
        from trajforecast_model.evaluation.labeler_eval import evaluate_labelers

        return evaluate_labelers(
            args.demos, args.labelers.split(","), args.out, per_task=args.per_task, windows=args.windows,
            checkouts=_paths_by_name("--checkout", args.checkout), weights=_paths_by_name("--weights", args.weights),
            device=args.device, table=args.table,
        )  # fmt: skip

    parser.set_defaults(run=run)


def _paths_by_name(option: str, arguments: list[str]) -> dict[str, Path]:
    pairs = [argument.partition("=") for argument in arguments]
    for (name, _, place), argument in zip(pairs, arguments, strict=True):
        if not (name and place):
            raise ValueError(f"{option} {argument}: expected LABELER=PATH")
    return {name: expanded(place) for name, _, place in pairs}
