"""`trajforecast evaluate`: errors of a checkpoint on prepared data."""

from trajforecast_model.verbs.arguments import add_machine, checkpoint, path


def add(verbs) -> None:
    parser = verbs.add_parser("evaluate", help="the LIBERO protocol on prepared data, beside the paper's table")
    parser.add_argument("--checkpoint", type=checkpoint, required=True)
    parser.add_argument("--data", required=True, type=path, help="folder written by prepare")
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
    parser.add_argument("--out", required=True, type=path, help="JSON report")
    parser.add_argument("--table", type=path, default=None, metavar="FILE", help="also the tables, as Markdown")
    parser.add_argument("--plots", type=path, default=None, metavar="DIR", help="also figures, as PNG")

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
