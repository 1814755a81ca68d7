"""`trajforecast pack`: prepared data in parts that travel, for a training elsewhere."""

import argparse
import re
from pathlib import Path

_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


def add(verbs) -> None:
    parser = verbs.add_parser(
        "pack", help="prepared data in small parts, for training a denoiser where only a few megabytes can be brought"
    )
    parser.add_argument("data", type=Path, help="folder written by prepare")
    parser.add_argument("--out", required=True, type=Path, help="new folder of parts")
    parser.add_argument("--part-size", type=byte_count, default=byte_count("60M"), help="bytes, such as 60M (default)")
    parser.add_argument(
        "--vae",
        default="libero_object_tiny",
        help="run of `train vae`, or checkpoint, whose latents stand for the tracks",
    )
    parser.add_argument(
        "--config", type=Path, default=None, help="YAML of the training, whose text encoder embeds the instructions"
    )
    parser.add_argument("--every", type=int, default=1, help="only every so many windows of a demo's view")
    parser.add_argument("--held-out", type=int, default=64, help="moments of the val split, for the evaluation")
    parser.add_argument("--jpeg-quality", type=int, default=90)
    parser.add_argument(
        "--history-step", type=float, default=0.25, help="pixels to which a past is rounded, where the data has one"
    )
    parser.add_argument("--device", default="cpu")

    def run(args):
        from trajforecast_model.files.config import load
        from trajforecast_model.runtime.device import checked_device
        from trajforecast_model.training.configs import DenoiserTrainConfig
        from trajforecast_model.training.pack.pack import MINILM, PackSettings, pack

        text_encoder = MINILM if args.config is None else load(DenoiserTrainConfig, args.config).text_encoder
        settings = PackSettings(
            args.part_size, args.vae, args.every, args.held_out, args.jpeg_quality, args.history_step, text_encoder
        )
        pack(args.data, args.out, settings, checked_device(args.device))

    parser.set_defaults(run=run)


def byte_count(text: str) -> int:
    """The type of an argument like 60M: bytes, in thousands (k), millions (M) or thousands of millions (G)."""
    match = re.fullmatch(r"(\d+)([kMG]?)B?", text)
    if match is None or not int(match[1]):
        raise argparse.ArgumentTypeError(f"expected a number of bytes like 60M, got {text!r}")
    return int(match[1]) * _UNITS[match[2]]
