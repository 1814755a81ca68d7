"""What every benchmark's report begins and ends with."""

import json
import os
import platform
from pathlib import Path

import torch

from trajforecast_model.files.atomic import write_atomically
from trajforecast_model.runtime.device import checked_device


def environment(device: str | torch.device, dtype: str) -> dict:
    device = checked_device(device)
    on_gpu = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "dtype": dtype,
        "torch": torch.__version__,
    }


def finish(report: dict, lines: list[str], out: Path | None) -> dict:
    """Prints the lines, writes the report as JSON and returns it."""
    print("\n".join(lines))
    if out is not None:
        write_atomically(Path(out), (json.dumps(report, indent=2) + "\n").encode())
        print(f"wrote {out}")
    return report
