"""`trajforecast evaluate`: errors of a checkpoint on prepared data."""

from trajforecast_model.verbs.arguments import ModeOptions, add_machine, checkpoint, path

COUNTS = [1, 2, 4, 8]


def add(verbs) -> None:
    parser = verbs.add_parser("evaluate", help="the LIBERO protocol on prepared data, beside the paper's table")
    parser.add_argument(
        "--checkpoint",
        type=checkpoint,
        help="or nothing_moves, constant_velocity, constant_velocity_decaying, last_motion_repeated",
    )
    parser.add_argument(
        "--data", required=True, type=path, help="folder written by prepare; trajloom: or by TrajLoom's official code"
    )
    parser.add_argument(
        "--protocol",
        default="libero",
        choices=["libero", "futures", "coherence", "trajloom"],
        help="futures: scenes that go on in several ways; coherence: whether forecasts of consecutive moments belong "
        "together; trajloom: the benchmark of TrajLoom's paper",
    )
    parser.add_argument("-k", type=int, nargs="+", default=None, help=f"numbers of samples (default: {COUNTS})")
    parser.add_argument("--split", default="val", choices=["train", "val", "all"])
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--max-windows",
        type=int,
        default=None,
        help="only this many windows a view, scenes (futures), or pairs a view (coherence)",
    )
    parser.add_argument(
        "--history",
        type=int,
        default=None,
        help="show the model this many past frames (default: all that the data has)",
    )
    add_machine(parser)
    parser.add_argument("--out", required=True, type=path, help="JSON report")
    parser.add_argument("--table", type=path, default=None, metavar="FILE", help="also the tables, as Markdown")
    parser.add_argument("--plots", type=path, default=None, metavar="DIR", help="also figures, as PNG")
    trajloom = ModeOptions(parser, "the trajloom protocol")
    trajloom.add("--clip-frames", type=int, help="of FVMD (default: 16)")
    trajloom.add("--clip-stride", type=int, help="frames between the beginnings of two of its clips (default: 1)")
    trajloom.add("--spacing", type=float, help="px between points (default: as query_xy.npy has it, else 32)")

    def run(args):
        if args.protocol == "trajloom":
            return _benchmark(args, trajloom)
        trajloom.refuse(args, f"the {args.protocol} protocol")
        if args.checkpoint is None:
            raise ValueError(f"checkpoint: none given; the {args.protocol} protocol takes one")
        counts = args.k or COUNTS
        if args.protocol == "futures":
            from trajforecast_model.evaluation.futures import evaluate_futures

            if args.plots:
                raise ValueError("--plots: the futures protocol draws no figures; leave it out, or use --table")
            if args.history:
                raise ValueError("--history: the futures protocol shows no past; leave it out")
            return evaluate_futures(
                args.checkpoint, args.data, counts, args.out, split=args.split, steps=args.steps, seed=args.seed,
                max_scenes=args.max_windows, device=args.device, dtype=args.dtype, table=args.table,
            )  # fmt: skip
        if args.protocol == "coherence":
            from trajforecast_model.evaluation.coherence import evaluate_coherence

            if args.plots:
                raise ValueError("--plots: the coherence protocol draws no figures; leave it out, or use --table")
            if args.history is not None:
                raise ValueError("--history: the coherence protocol shows all the past that the data has; leave it out")
            return evaluate_coherence(
                args.checkpoint, args.data, max(counts), args.out, split=args.split, steps=args.steps, seed=args.seed,
                max_pairs=args.max_windows, device=args.device, dtype=args.dtype, table=args.table,
            )  # fmt: skip
        from trajforecast_model.evaluation.protocol import evaluate

        evaluate(
            args.checkpoint, args.data, counts, args.out, split=args.split, steps=args.steps, seed=args.seed,
            max_windows=args.max_windows, history=args.history, device=args.device, dtype=args.dtype, table=args.table,
            plots=args.plots,
        )  # fmt: skip

    parser.set_defaults(run=run)


def _benchmark(args, trajloom: ModeOptions) -> None:
    from trajforecast_model.evaluation.trajloom.benchmark import evaluate_checkpoint, evaluate_results, is_prepared

    options = trajloom.given(args)
    if args.k not in (None, [1]):
        raise ValueError("-k: the trajloom protocol takes one sample of each clip, as its paper does; leave it out")
    if args.plots:
        raise ValueError("--plots: the trajloom protocol draws no figures; leave it out, or use --table")
    if is_prepared(args.data):
        if args.checkpoint is None:
            raise ValueError(f"checkpoint: none given; {args.data} is prepared data, which takes one")
        if "spacing" in options:
            raise ValueError("--spacing: prepared data tells it; leave it out")
        evaluate_checkpoint(
            args.checkpoint, args.data, args.out, split=args.split, steps=args.steps, seed=args.seed,
            max_windows=args.max_windows, history=args.history, device=args.device, dtype=args.dtype, table=args.table,
            **options,
        )  # fmt: skip
        return
    for name in ("checkpoint", "steps", "max_windows", "history"):
        if getattr(args, name) is not None:
            option = name.replace("_", "-")
            raise ValueError(
                f"--{option}: {args.data} is not prepared data (it has no dataset.json), of whose results nothing is "
                "forecast; leave it out"
            )
    evaluate_results(args.data, args.out, table=args.table, **options)
