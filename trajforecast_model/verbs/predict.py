"""`trajforecast predict`: the tracks of one moment, from image files or of videos."""

from trajforecast_model.verbs.arguments import add_machine, checkpoint, path


def add(verbs) -> None:
    parser = verbs.add_parser("predict", help="forecast the tracks of one moment, from image files or of videos")
    parser.add_argument("--checkpoint", type=checkpoint, required=True, help="folder, shipped name or hub id")
    parser.add_argument("--image", action="append", metavar="VIEW=FILE", help="e.g. side=a.png")
    parser.add_argument("--video", action="append", metavar="VIEW=FILE", help="instead of images, e.g. side=clip.mp4")
    parser.add_argument("--at", type=float, metavar="SECONDS", help="the moment of the videos")
    parser.add_argument("--instruction", required=True)
    parser.add_argument("-k", type=int, default=8, help="number of sampled futures")
    parser.add_argument("--steps", type=int, default=None, help="solver steps (default: the checkpoint's)")
    parser.add_argument("--seed", type=int, default=0)
    add_machine(parser)
    parser.add_argument(
        "--out",
        required=True,
        type=path,
        help="npz: tracks, mean_track, medoid, spread, views, visibility where the model tells it",
    )
    parser.add_argument("--overlay", type=path, default=None, help="PNG of the tracks drawn over the images")

    def run(args):
        from trajforecast_model.verbs.prediction import given_files, predict_files

        predict_files(
            args.checkpoint, given_files(args.image, args.video, args.at), args.instruction, args.k, args.steps, args.seed,
            args.device, args.dtype, args.out, args.overlay,
        )  # fmt: skip

    parser.set_defaults(run=run)
