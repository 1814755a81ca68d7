"""`trajforecast finetune`: a checkpoint, trained on with a robot's own data."""

from trajforecast_model.verbs.arguments import checkpoint, path


def add(verbs) -> None:
    parser = verbs.add_parser("finetune", help="train a checkpoint on with a robot's own data")
    parser.add_argument(
        "--from", dest="source", type=checkpoint, help="checkpoint: a folder, a shipped name or a hub id"
    )
    parser.add_argument("--data", type=path, help="folder written by prepare; it says sizes, dt, views and past")
    parser.add_argument("--out", required=True, type=path, help="folder of the run; its `checkpoint` is the result")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, help="how long to train here, about (default: 30)")
    length.add_argument("--steps", type=int, help="steps of the optimiser instead")
    parser.add_argument("--learning-rate", type=float, help="(default: 4e-4)")
    parser.add_argument("--batch-size", type=int, help="windows a step (default: 16, or what there is)")
    parser.add_argument(
        "--history", type=int, metavar="N", help="past frames to see (default: all that the data has; 0: none)"
    )
    parser.add_argument(
        "--from-scratch", action="store_true", help="draw the weights anew: to see what the checkpoint's are worth"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="a.b=c", help="any value of train denoiser's config"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out, with nothing else said")

    def run(args):
        from trajforecast_model.training.finetuning.config import Asked
        from trajforecast_model.training.finetuning.run import finetune

        asked = Asked(
            args.source, None if args.data is None else str(args.data), args.minutes, args.steps, args.learning_rate,
            args.batch_size, args.history, args.from_scratch, tuple(args.set),
        )  # fmt: skip
        finetune(asked, args.out, args.resume)

    parser.set_defaults(run=run)
