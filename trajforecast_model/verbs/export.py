"""`trajforecast export`: the networks of a checkpoint for other runtimes, and a forecast for other programs."""

from trajforecast_model.files.outputs import ready_new_folder
from trajforecast_model.verbs.arguments import checkpoint, path


def add(verbs) -> None:
    parser = verbs.add_parser("export", help="a checkpoint for other runtimes, a forecast for other programs")
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

    def run_onnx(args):
        from trajforecast_model.conversion.onnx import export_onnx

        export_onnx(args.checkpoint, ready_new_folder("out", args.out), views=args.views, k=args.k)

    def run_wan_move(args):
        from trajforecast_model.verbs.wan_move import export_wan_move, parse_size

        size = parse_size(args.size)
        export_wan_move(args.forecast, ready_new_folder("out", args.out), args.view, args.sample, size, args.frames)

    onnx.set_defaults(run=run_onnx)
    wan_move.set_defaults(run=run_wan_move)
