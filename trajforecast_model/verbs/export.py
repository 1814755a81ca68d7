"""`trajforecast export`: a checkpoint for other runtimes, a forecast or recordings with their tracks for other programs."""

from trajforecast_model.files.outputs import ready_new_folder
from trajforecast_model.verbs.arguments import ModeOptions, add_machine, checkpoint, path, size
from trajforecast_model.verbs.reading import add_bags, add_cameras, add_labeler, reading_of, tracker_of


def add(verbs) -> None:
    parser = verbs.add_parser("export", help="a checkpoint, a forecast or recordings for other programs")
    formats = parser.add_subparsers(dest="format", required=True)
    onnx = formats.add_parser("onnx", help="ONNX files of fixed shapes, float32")
    onnx.add_argument("--checkpoint", type=checkpoint, required=True, help="folder, shipped name or hub id")
    onnx.add_argument("--views", type=int, default=2, help="images of a forecast")
    onnx.add_argument("-k", type=int, default=8, help="samples of each")
    onnx.add_argument("--out", required=True, type=path, help="new folder")

    wan_move = formats.add_parser("wan-move", help="a forecast of predict as Wan-Move's tracks.npy and visibility.npy")
    wan_move.add_argument("forecast", type=path, metavar="FILE", help=".npz of predict")
    wan_move.add_argument("--view", help="of the forecast (default: its only one)")
    wan_move.add_argument("--sample", default="0", help="number of the sampled future, or mean")
    wan_move.add_argument("--size", default="480x832", help="height x width of the video (default: 480x832)")
    wan_move.add_argument("--frames", type=int, help="of the video, hidden beyond the forecast (default: its own)")
    wan_move.add_argument("--out", required=True, type=path, help="new folder")

    lerobot = formats.add_parser("lerobot", help="recordings as a LeRobot dataset with their tracks beside each frame")
    lerobot.add_argument(
        "demos", nargs="+", type=path, metavar="DATA", help="recordings of any kind that prepare reads"
    )
    lerobot.add_argument("--labeler", help="exact or a point tracker (default: exact where demos have states)")
    demos = ModeOptions(lerobot, "demos")
    add_labeler(demos)
    add_cameras(demos)
    demos.add("--image-size", type=size, metavar="HxW", help="pixels of the pictures (default: 128x128)")
    demos.add("--dt", type=float, help="seconds between two frames (default: the checkpoint's, or the recordings' own)")
    demos.add("--grid", type=size, metavar="ROWSxCOLUMNS", help="points whose tracks are told (default: 16x16)")
    demos.add("--frames", type=int, metavar="T", help="of a track, the present one included (default: 16)")
    demos.add("--history", type=int, help="past frames for which it is told where the points were (default: 0)")
    bags = ModeOptions(lerobot, "bags")
    add_bags(bags)
    forecasts = ModeOptions(lerobot, "forecasts")
    lerobot.add_argument("--checkpoint", type=checkpoint, help="also what this model forecasts at each frame")
    forecasts.add("-k", type=int, help="futures of each frame (default: 1)")
    forecasts.add("--steps", type=int, help="solver steps (default: the checkpoint's)")
    forecasts.add("--seed", type=int, help="the same at each frame (default: 0)")
    add_machine(lerobot)
    lerobot.add_argument("--out", required=True, type=path, help="new folder")

    def run_onnx(args):
        from trajforecast_model.conversion.onnx import export_onnx

        export_onnx(args.checkpoint, ready_new_folder("out", args.out), views=args.views, k=args.k)

    def run_wan_move(args):
        from trajforecast_model.verbs.wan_move import export_wan_move, parse_size

        size = parse_size(args.size)
        export_wan_move(args.forecast, ready_new_folder("out", args.out), args.view, args.sample, size, args.frames)

    def run_lerobot(args):
        from trajforecast_model.data.to_lerobot.export import Wanted, export_lerobot, load_forecasting

        out, given, asked = ready_new_folder("out", args.out), demos.given(args), forecasts.given(args)
        forecasting = None
        if args.checkpoint is None:
            forecasts.refuse(args, "export without --checkpoint")
        else:
            forecasting = load_forecasting(
                args.checkpoint, asked.get("k", 1), asked.get("steps"), asked.get("seed", 0), args.device, args.dtype
            )
        return export_lerobot(
            args.demos, out, args.labeler,
            Wanted(given.get("grid"), given.get("frames"), given.get("history", 0), given.get("dt")),
            tracker=tracker_of(given), reading=reading_of(given, bags.given(args)), forecasting=forecasting,
        )  # fmt: skip

    onnx.set_defaults(run=run_onnx)
    wan_move.set_defaults(run=run_wan_move)
    lerobot.set_defaults(run=run_lerobot)
