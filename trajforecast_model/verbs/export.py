"""`trajforecast export`: the networks of a checkpoint for other runtimes."""

from trajforecast_model.files.outputs import ready_new_folder
from trajforecast_model.verbs.arguments import checkpoint, path


def add(verbs) -> None:
    parser = verbs.add_parser("export", help="the networks of a checkpoint for other runtimes")
    formats = parser.add_subparsers(dest="format", required=True)
    onnx = formats.add_parser("onnx", help="ONNX files of fixed shapes, float32")
    onnx.add_argument("--checkpoint", type=checkpoint, required=True, help="folder, shipped name or hub id")
    onnx.add_argument("--views", type=int, default=2, help="images of a forecast")
    onnx.add_argument("-k", type=int, default=8, help="samples of each")
    onnx.add_argument("--out", required=True, type=path, help="new folder")

    def run(args):
        from trajforecast_model.conversion.onnx import export_onnx

        export_onnx(args.checkpoint, ready_new_folder("out", args.out), views=args.views, k=args.k)

    parser.set_defaults(run=run)
