"""`trajforecast few-steps`: errors by solver and number of network evaluations."""

from trajforecast_model.verbs.arguments import add_machine, checkpoint, path


def add(verbs) -> None:
    parser = verbs.add_parser("few-steps", help="errors and diversity by solver and number of network evaluations")
    parser.add_argument("--checkpoint", type=checkpoint, required=True, help="every solver is tried on this one")
    parser.add_argument(
        "--student", type=checkpoint, action="append", default=[], metavar="DIR", help="with its own solver and steps"
    )
    parser.add_argument("--data", required=True, type=path, help="folder written by prepare")
    parser.add_argument("--solvers", nargs="*", default=["euler"], help="e.g. euler heun ab2 ab2@shift2 euler@logit")
    parser.add_argument("--evaluations", type=int, nargs="*", default=[1, 2, 3, 4, 5, 9])
    parser.add_argument("-k", type=int, default=8, help="number of sampled futures")
    parser.add_argument("--split", default="val", choices=["train", "val", "all"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-windows", type=int, default=None, help="only this many windows a view")
    add_machine(parser)
    parser.add_argument("--out", required=True, type=path, help="JSON report")
    parser.add_argument("--table", type=path, default=None, metavar="FILE", help="also the table, as Markdown")

    def run(args):
        from trajforecast_model.evaluation.few_steps import sweep

        sweep(
            args.checkpoint, args.data, args.solvers, args.evaluations, args.out, students=args.student, k=args.k,
            split=args.split, seed=args.seed, max_windows=args.max_windows, device=args.device, dtype=args.dtype,
            table=args.table,
        )  # fmt: skip

    parser.set_defaults(run=run)
