"""What the machine has: its GPU, and the Python packages that a GPU day needs. Says which are missing before all else."""

import argparse
import importlib.util
import os
import sys

# By the name of the import, that of the package.
PACKAGES = {
    "torch": "torch",
    "numpy": "numpy",
    "cv2": "opencv-python-headless",
    "einops": "einops",
    "safetensors": "safetensors",
    "pyarrow": "pyarrow",
    "scipy": "scipy",
    "PIL": "pillow",
    "yaml": "pyyaml",
    "tqdm": "tqdm",
    "tensorboard": "tensorboard",
    "torchdiffeq": "torchdiffeq",
    "pytest": "pytest",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rehearse", action="store_true")
    args = parser.parse_args()
    if missing := missing_packages():
        print(
            f"missing Python packages: {' '.join(missing)}. Bring their wheels in {os.environ.get('WHEELS', 'out/wheels')}:"
        )
        print(
            "  python3 -m pip download --no-deps --only-binary=:all: --python-version 3.12 --implementation cp "
            "--platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 "
            f"-d out/wheels {' '.join(missing)}"
        )
        return 2
    import torch

    python = ".".join(map(str, sys.version_info[:3]))
    print(
        f"Python {python}, PyTorch {torch.__version__}, CUDA {torch.version.cuda}, {os.cpu_count()} cores; no package is missing"
    )
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        print(
            f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, {properties.multi_processor_count} multiprocessors"
        )
    elif not args.rehearse:
        print("this PyTorch sees no GPU; --rehearse tries everything on the CPU, at toy size")
        return 2
    return 0


def missing_packages() -> list[str]:
    return [package for name, package in PACKAGES.items() if importlib.util.find_spec(name) is None]


if __name__ == "__main__":
    sys.exit(main())
