"""`trajforecast temperature`: how much samples should differ, found on windows that were not trained on."""

from trajforecast_model.verbs.arguments import checkpoint, path


def add(verbs) -> None:
    parser = verbs.add_parser(
        "temperature", help="a copy of a checkpoint whose samples lie about the truth as often as they should"
    )
    parser.add_argument("--checkpoint", type=checkpoint, required=True)
    parser.add_argument("--data", required=True, type=path, help="folder written by prepare")
    parser.add_argument("--out", required=True, type=path, help="new folder, the copy")
    parser.add_argument("-k", type=int, default=8, help="number of sampled futures")
    parser.add_argument("--split", default="val", choices=["train", "val", "all"], help="not trained on (default: val)")
    parser.add_argument("--max-windows", type=int, default=None, help="only this many windows a view")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")

    def run(args):
        from trajforecast_model.evaluation.temperature import fit_temperature

        fit_temperature(
            args.checkpoint, args.data, args.out, k=args.k, split=args.split, max_windows=args.max_windows,
            seed=args.seed, device=args.device,
        )  # fmt: skip

    parser.set_defaults(run=run)
