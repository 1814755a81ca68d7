"""Errors that the papers report on LIBERO, px^2 at 128 px, for k = 8: to stand beside ours, not to be compared blindly.

Source: WHN (arXiv 2509.21592), its tables for the protocols of ATM and of Tra-MoE. They are measured on tracks that
CoTracker made of human demonstrations; ours are exact tracks of the simulator.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class PaperRow:
    """Figures of one method on one suite, by view; None where the paper has none."""

    suite: str
    method: str
    mean_t: tuple[float, float]  # side, effector; the single forecast of a method that does not sample
    mean: tuple[float, float] | None = None
    min: tuple[float, float] | None = None


PAPER_VIEWS = ("side", "effector")
PAPER_K = "8"

PAPER_ROWS = (
    PaperRow("LIBERO-90", "ATM", (23.07, 67.37)),
    PaperRow("LIBERO-90", "WHN", (16.70, 52.70), (18.32, 60.47), (10.99, 32.01)),
    PaperRow("LIBERO-10", "ATM", (31.02, 69.96)),
    PaperRow("LIBERO-10", "WHN", (23.69, 58.35), (26.71, 66.35), (13.86, 35.93)),
    PaperRow("GOAL", "Tra-MoE", (27.56, 105.92)),
    PaperRow("GOAL", "WHN", (15.85, 71.41)),
    PaperRow("OBJECT", "Tra-MoE", (14.07, 48.78)),
    PaperRow("OBJECT", "WHN", (8.94, 30.65)),
    PaperRow("SPATIAL", "Tra-MoE", (37.62, 88.22)),
    PaperRow("SPATIAL", "WHN", (15.46, 54.71)),
    PaperRow("LIBERO-10 (Tra-MoE's protocol)", "Tra-MoE", (40.54, 82.23)),
    PaperRow("LIBERO-10 (Tra-MoE's protocol)", "WHN", (26.20, 63.62)),
)


def paper_ratios() -> list[tuple[str, str, dict[str, tuple[float | None, float | None]]]]:
    """What WHN's errors are of the baseline's, by suite: (suite, baseline, metric -> side and effector).

    The baselines do not sample, so each of WHN's three errors stands against their only one.
    """
    ratios = []
    for baseline, ours in zip(PAPER_ROWS[::2], PAPER_ROWS[1::2], strict=True):
        by_metric = {
            metric: (None, None)
            if (figures := getattr(ours, metric)) is None
            else tuple(figure / theirs for figure, theirs in zip(figures, baseline.mean_t, strict=True))
            for metric in ("mean_t", "mean", "min")
        }
        ratios.append((ours.suite, baseline.method, by_metric))
    return ratios
