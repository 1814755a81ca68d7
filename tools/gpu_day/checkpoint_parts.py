"""A checkpoint in parts that a machine gives back, and whole again at home, with the text encoder that is there.

python -m gpu_day.checkpoint_parts join out/gpu_day --to CHECKPOINT
python -m gpu_day.checkpoint_parts split RUN/checkpoint --out OUT --first 5     # on the machine: parts 5 and on
"""

import argparse
import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path

from trajforecast_model.checkpoint import CONFIG_FILE
from trajforecast_model.files.atomic import new_folder, write_atomically
from trajforecast_model.files.config import from_dict, to_dict
from trajforecast_model.files.json_files import read_object
from trajforecast_model.networks.text_encoder import KeptTextEncoder, TextEncoderConfig

PART_SIZE = 15_000_000
MANIFEST = "checkpoint.json"


def split(checkpoint: Path, out: Path, first: int = 1) -> list[Path]:
    """Writes the parts from number `first` on, and then what they have to be."""
    data = _archive(checkpoint)
    pieces = [data[start : start + PART_SIZE] for start in range(0, len(data), PART_SIZE)]
    names = [f"checkpoint.part{number}" for number in range(1, len(pieces) + 1)]
    for name, piece in list(zip(names, pieces, strict=True))[first - 1 :]:
        write_atomically(out / name, piece)
    manifest = {
        "checkpoint": checkpoint.resolve().parent.name,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "parts": {name: hashlib.sha256(piece).hexdigest() for name, piece in zip(names, pieces, strict=True)},
    }
    write_atomically(out / MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())
    return [out / name for name in names[first - 1 :]]


def join(folder: Path, to: Path) -> None:
    """Raises ValueError where a part is missing or is not what it was."""
    if not (folder / MANIFEST).is_file():
        raise ValueError(f"{folder} has no {MANIFEST}: no checkpoint came back")
    manifest, pieces = read_object(folder / MANIFEST, "bring it again"), []
    for name, digest in manifest["parts"].items():
        if not (folder / name).is_file():
            raise ValueError(f"{folder / name} is missing; bring it with split --first")
        pieces.append((folder / name).read_bytes())
        if hashlib.sha256(pieces[-1]).hexdigest() != digest:
            raise ValueError(f"{folder / name} is not the part that {MANIFEST} tells of; bring both again")
    with new_folder(to) as whole, tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
        tar.extractall(whole, filter="data")


def _archive(checkpoint: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for file in sorted(checkpoint.iterdir()):
            data = _config_for_home(file) if file.name == CONFIG_FILE else file.read_bytes()
            member = tarfile.TarInfo(file.name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _config_for_home(file: Path) -> bytes:
    """Texts that were kept for the machine give way to the encoder that made them."""
    config = json.loads(file.read_text())
    texts = config.get("text_encoder")
    if texts is not None and texts["kind"] == "kept":
        config["text_encoder"] = to_dict(KeptTextEncoder(from_dict(TextEncoderConfig, texts)).made_by)
    return (json.dumps(config, indent=2) + "\n").encode()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    joining = verbs.add_parser("join")
    joining.add_argument("folder", type=Path)
    joining.add_argument("--to", type=Path, required=True)
    splitting = verbs.add_parser("split")
    splitting.add_argument("checkpoint", type=Path)
    splitting.add_argument("--out", type=Path, required=True)
    splitting.add_argument("--first", type=int, default=1)
    args = parser.parse_args()
    try:
        if args.verb == "join":
            join(args.folder, args.to)
            print(f"wrote {args.to}")
        else:
            print(*split(args.checkpoint, args.out, args.first))
    except (ValueError, OSError) as error:
        print(f"checkpoint_parts: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
