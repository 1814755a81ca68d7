"""Draws the loss of training runs and their validation error beside "nothing moves", as one picture.

python tools/loss_curves.py runs/blocks_tiny_vae runs/blocks_tiny --out loss_curves.png
"""

import argparse
from pathlib import Path

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from trajforecast_model.evaluation.reports.panels import BLUE, GREEN, GREY, Curve, Panel, draw_panels, write_png

POINTS = 40  # of a curve of losses, each the average of as many steps
MANY = 12  # a curve of fewer points shows them


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="run folders of `trajforecast train`")
    parser.add_argument("--out", required=True, type=Path, help="PNG")
    args = parser.parse_args()
    panels = [panel for run in args.runs for panel in panels_of(run)]
    write_png(draw_panels(panels, size=(4.2, 3.2)), args.out)
    print(f"wrote {args.out}")


def panels_of(run: Path) -> list[Panel]:
    """The loss of a run, and its validation where that is in squared pixels."""
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    scalars = {
        tag: np.array([(event.step, event.value) for event in events.Scalars(tag)]).T
        for tag in events.Tags()["scalars"]
    }
    if "train/loss" not in scalars:
        raise SystemExit(f"{run} has no training loss: is it the run folder of `trajforecast train`?")
    panels = [Panel(run.name, "step", "training loss", [_curve("loss", averaged(scalars["train/loss"]), BLUE)])]
    names = {
        "nothing_moves_px2": ("nothing moves", GREY),
        "moving_points_px2": ("decoded", BLUE),
        "mean_t_px2": ("MeanT", BLUE),
        "min_px2": ("Min", GREEN),
    }
    errors = [
        _curve(words, scalars[tag], colour)
        for end, (words, colour) in names.items()
        for tag in sorted(scalars)
        if tag.startswith("val/") and tag.endswith(end)
    ]
    if errors:
        panels.append(Panel(f"{run.name}, validation", "step", "error, px^2", errors))
    return panels


def averaged(curve: np.ndarray) -> np.ndarray:
    """[2, N] steps and values to at most POINTS of them."""
    parts = np.array_split(curve, min(POINTS, curve.shape[1]), axis=1)
    return np.stack([part.mean(axis=1) for part in parts], axis=1)


def _curve(name: str, points: np.ndarray, colour: str) -> Curve:
    return Curve(name, points[0].tolist(), points[1].tolist(), colour, markers=points.shape[1] < MANY)


if __name__ == "__main__":
    main()
