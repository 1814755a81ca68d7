"""`trajforecast view`: a page to look at forecasts, prepared data or reports in a browser."""

from trajforecast_model.verbs.arguments import add_machine, checkpoint, path


def add(verbs) -> None:
    parser = verbs.add_parser("view", help="one HTML page of forecasts, prepared data or reports, to open in a browser")
    parser.add_argument(
        "sources",
        nargs="+",
        type=path,
        metavar="FILE",
        help="forecasts of predict (.npz) or folders of them, several models side by side; a folder written by prepare; "
        "or reports of evaluate (.json), two or more",
    )
    parser.add_argument("--out", type=path, default=None, help="the page (default: beside FILE, with .html; .rrd)")
    parser.add_argument(
        "--image", action="append", default=[], metavar="VIEW=FILE", help="picture under a forecast that has none"
    )
    parser.add_argument(
        "--blind", action="store_true", help="two models' forecasts without their names, to judge; rated at the end"
    )
    parser.add_argument(
        "--rerun", action="store_true", help="a recording for the viewer Rerun (.rrd) in place of the page; extra view"
    )
    of_data = parser.add_argument_group("of prepared data")
    of_data.add_argument(
        "--checkpoint",
        action="append",
        default=[],
        type=checkpoint,
        help="forecast too, beside the truth; may be repeated",
    )
    of_data.add_argument("--split", default="val", choices=["train", "val", "all"])
    of_data.add_argument("--moments", type=int, default=12, help="how many at most, evenly chosen")
    of_data.add_argument("-k", type=int, default=8, help="number of sampled futures")
    add_machine(of_data)

    def run(args):
        from trajforecast_model.verbs.viewing import view_files

        view_files(
            args.sources, args.out, images=args.image, blind=args.blind, checkpoints=args.checkpoint,
            split=args.split, moments=args.moments, k=args.k, device=args.device, dtype=args.dtype,
            rerun=args.rerun,
        )  # fmt: skip

    parser.set_defaults(run=run)
