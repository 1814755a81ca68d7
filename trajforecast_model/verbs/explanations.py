"""Errors that are not the program's, in one line that says what to do."""

# What an environment without an extra lacks, and the extra that brings it.
EXTRAS = {
    "av": "video",
    "h5py": "train",
    "matplotlib": "train",
    "pyarrow": "train",
    "tensorboard": "train",
    "ray": "ray",
    "rerun": "view",
    "rosbags": "bags",
    "libero": "sim",
    "mujoco": "sim",
    "robosuite": "sim",
    "imageio_ffmpeg": "demo",
    "onnx": "export",
    "onnxruntime": "export",
    "onnxscript": "export",
}


def explanation(error: BaseException) -> str | None:
    """None where it is the program's own."""
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or "").partition(".")[0]
        if package in EXTRAS:
            return f"{package} is not installed; install it: pip install -e '.[{EXTRAS[package]}]'"
        return None
    # By its name: this module has to be there without PyTorch, which a verb's --help need not load.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        how_much = ". ".join(str(error).split(". ")[:2]).rstrip(".") or "it does not say how much it asked for"
        return (
            f"out of memory ({how_much}); do less at once: a larger optimisation.accumulate in train, a smaller -k, "
            "--batch or --views elsewhere, or --dtype bfloat16"
        )
    return str(error) if isinstance(error, (ValueError, OSError)) else None
