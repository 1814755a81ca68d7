"""What work costs whatever the program: arithmetic and memory traffic, and the time below which no machine goes."""

import copy
import time
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from trajforecast_model.benchmarks.libero_models import Request
from trajforecast_model.forecaster import Forecaster

# Dense bf16 FLOP/s and bytes/s of the data sheet.
DATA_SHEETS = {"NVIDIA H200": (989e12, 4.8e12), "NVIDIA H100 80GB HBM3": (989e12, 3.35e12)}


@dataclass(frozen=True)
class Cost:
    """Of one forecast, encoders apart."""

    encode_flops: int  # known first frame, and keys and values of the images
    step_flops: int  # one network evaluation
    decode_flops: int
    step_bytes: int  # the denoiser's weights, read once
    other_bytes: int  # the VAE's weights, read once, and what comes in and goes out

    def flops(self, steps: int) -> int:
        return self.encode_flops + steps * self.step_flops + self.decode_flops

    def bytes(self, steps: int) -> int:
        return steps * self.step_bytes + self.other_bytes


@dataclass(frozen=True)
class Machine:
    name: str
    flops_per_second: float
    bytes_per_second: float

    def floor(self, cost: Cost, steps: int) -> float:
        """Seconds of a forecast."""
        return self.least_seconds(cost.flops(steps), cost.bytes(steps))

    def least_seconds(self, flops: int, traffic: int) -> float:
        """All arithmetic at the peak of matrix products, or all bytes at full bandwidth, whichever is longer."""
        return max(flops / self.flops_per_second, traffic / self.bytes_per_second)


def cost_of_forecast(forecaster: Forecaster, request: Request) -> Cost:
    """Counts matrix products and convolutions on shapes alone: nothing is computed.

    The count is of this program, which computes nothing twice that an image's samples and steps share.
    """
    denoiser, vae = (
        None if net is None else copy.deepcopy(net).to("meta") for net in (forecaster.denoiser, forecaster.vae)
    )
    shapes = request.to(torch.device("meta"), forecaster.dtype)
    images = len(shapes.noise)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        context = denoiser.image_context(shapes.image_tokens, shapes.text)
        if vae is not None:
            vae.encode_static(images, shapes.image_tokens)
        encode = counter.get_total_flops()
        known = shapes.noise[:, :, :1]
        x = torch.cat([known, shapes.noise], dim=2).to(forecaster.dtype)
        denoiser.velocity(x, torch.zeros(images, 1, device="meta"), context)
        step = counter.get_total_flops() - encode
        tracks_bytes = x.numel() * 4
        if vae is not None:
            tokens = x.flatten(0, 1).flatten(3).transpose(2, 3)
            tracks_bytes = vae.decode(tokens, shapes.image_tokens).numel() * 4
        decode = counter.get_total_flops() - encode - step
    inputs = sum(t.numel() * t.element_size() for t in request if t is not None)
    return Cost(
        encode_flops=encode,
        step_flops=step,
        decode_flops=decode,
        step_bytes=_weights_bytes(denoiser),
        other_bytes=_weights_bytes(vae) + inputs + tracks_bytes,
    )


def this_machine(device: torch.device, dtype: torch.dtype) -> Machine:
    """Best rates seen here and now, of large matrix products and of copying large tensors."""
    size, rows = (8192, 8192) if device.type == "cuda" else (1024, 2048)
    a, b = (torch.randn(n, size, device=device, dtype=dtype) for n in (rows, size))
    large = torch.empty(64 * 2**20 if device.type == "cpu" else 2**30, dtype=torch.uint8, device=device)
    target = torch.empty_like(large)
    with torch.inference_mode():
        flops = 2 * rows * size * size / _best_seconds(lambda: a @ b.T, device)
        traffic = 2 * large.numel() / _best_seconds(lambda: target.copy_(large), device)  # read and written
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    return Machine(f"{name}, measured", flops, traffic)


def data_sheet_machines() -> list[Machine]:
    return [Machine(f"{name}, data sheet", *rates) for name, rates in DATA_SHEETS.items()]


def floors(forecaster: Forecaster, request: Request, steps: int) -> dict:
    """Cost of a forecast, and its floor on this machine and on those of the data sheets."""
    cost = cost_of_forecast(forecaster, request)
    return floors_of(cost.flops(steps), cost.bytes(steps), forecaster.device, forecaster.dtype)


def floors_of(flops: int, traffic: int, device: torch.device, dtype: torch.dtype) -> dict:
    """Of any work: that many operations and bytes."""
    machines = [this_machine(device, dtype), *data_sheet_machines()]
    return {
        "flops": flops,
        "bytes": traffic,
        "machines": [vars(machine) | {"seconds": machine.least_seconds(flops, traffic)} for machine in machines],
    }


def floor_lines(floor: dict, seconds: float, work: str = "forecast") -> list[str]:
    lines = [f"one {work} is {floor['flops'] / 1e9:,.1f} GFLOP and {floor['bytes'] / 1e6:,.1f} MB, encoders apart:"]
    for machine in floor["machines"]:
        lines.append(
            f"  at least {machine['seconds']:.5f} s at {machine['flops_per_second'] / 1e12:,.2f} TFLOP/s and "
            f"{machine['bytes_per_second'] / 1e9:,.0f} GB/s ({machine['name']})"
        )
    lines[1] += f"; the median is {seconds / floor['machines'][0]['seconds']:.1f} x that"
    return lines


def _best_seconds(run, device: torch.device, runs: int = 10) -> float:
    best = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
    return best


def _weights_bytes(module: torch.nn.Module | None) -> int:
    return 0 if module is None else sum(p.numel() * p.element_size() for p in module.parameters())
