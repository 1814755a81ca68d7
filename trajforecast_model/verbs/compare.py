"""`trajforecast compare`: reports of evaluate side by side."""

from trajforecast_model.verbs.arguments import path


def add(verbs) -> None:
    parser = verbs.add_parser(
        "compare", help="reports of evaluate side by side, with the first one's ratios to the others"
    )
    parser.add_argument("reports", nargs="+", type=path, help="JSON reports on the same data")
    parser.add_argument("-k", type=int, default=None, help="number of samples (default: the largest that all have)")
    parser.add_argument("--out", type=path, default=None, metavar="FILE", help="also the tables, as Markdown")

    def run(args):
        from trajforecast_model.evaluation.reports.comparison import compare

        compare(args.reports, args.out, args.k)

    parser.set_defaults(run=run)
