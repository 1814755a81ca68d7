"""The figures of TrajLoom's benchmark over many clips, of several forecasts of each."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict

import numpy as np

from trajforecast_model.evaluation.metrics.errors import vepe
from trajforecast_model.evaluation.metrics.fvmd import (
    MotionHistograms,
    clips,
    fvmd_of_histograms,
    motion_histograms,
)
from trajforecast_model.evaluation.metrics.smoothness import NothingVisible, Spacing, div_curl_energy, flow_tv

TRUTH = "true tracks"  # the row of what happened, for the figures that do not compare
FIRST_FRAMES = 24  # of the paper's second VEPE
_SMOOTHNESS = {"flow_tv": flow_tv, "div_curl_energy": div_curl_energy}


class BenchmarkScores:
    """What is measured, a clip at a time: of every clip no more is kept than its histograms.

    Args:
        spacing: pixels between neighbouring query points.
        clip_frames: of FVMD; clips that are not longer than that are taken whole.
        clip_stride: frames between the beginnings of two of its clips.
    """

    def __init__(self, spacing: Spacing, clip_frames: int, clip_stride: int):
        self._spacing, self._clip_frames, self._clip_stride = spacing, clip_frames, clip_stride
        self.num_clips = 0
        self._rows: dict[str, _Row] = defaultdict(_Row)

    def add(self, truth: np.ndarray, visible: np.ndarray | None, forecasts: dict[str, np.ndarray]) -> None:
        """One clip.

        Args:
            truth: [T, H, W, 2], px
            visible: bool [T, H, W], of the truth; None where every point counts.
            forecasts: [T, H, W, 2] each, by the row's name.

        Raises:
            ValueError: for fewer than 4 frames or 5x5 points, of which FVMD has no histogram.
        """
        if len(truth) < 4 or min(truth.shape[1:3]) < 5:
            frames, rows, columns, _ = truth.shape
            raise ValueError(
                f"FVMD needs at least 4 frames and 5 x 5 points, the clips have {frames} and {rows} x {columns}"
            )
        self.num_clips += 1
        counted = np.ones(truth.shape[:-1], bool) if visible is None else visible
        for name, tracks in {TRUTH: truth, **forecasts}.items():
            row = self._rows[name]
            for metric, measure in _SMOOTHNESS.items():
                row.smoothness[metric].append(_or_none(measure, tracks, self._spacing, visible))
            row.clips.append(self._histograms(tracks, visible, self._clip_frames))
            row.whole.append(self._histograms(tracks, visible, len(truth)))
            if name != TRUTH:
                row.add_errors(tracks, truth, counted)

    def summary(self) -> dict[str, dict]:
        """The figures of every row; None where there are too few clips, or where nothing is visible."""
        truth = self._rows[TRUTH]
        return {
            name: {
                **{metric: _mean(values) for metric, values in row.smoothness.items()},
                "left_out": {metric: values.count(None) for metric, values in row.smoothness.items()},
            }
            | (
                {}
                if name == TRUTH
                else {
                    "fvmd": _distance(row.clips, truth.clips),
                    "fvmd_long": _distance(row.whole, truth.whole),
                    "vepe": row.vepe("all"),
                    f"vepe_first_{FIRST_FRAMES}": row.vepe("first"),
                }
            )
            for name, row in self._rows.items()
        }

    def _histograms(self, tracks: np.ndarray, visible: np.ndarray | None, frames: int) -> MotionHistograms:
        frames = min(frames, len(tracks))
        # As float32: it is what the official command computes in, where a weight lies at the edge of its bin.
        cut = clips(tracks[None].astype(np.float32), frames, self._clip_stride)
        seen = None if visible is None else clips(visible[None], frames, self._clip_stride)
        return motion_histograms(cut, seen)


class BothScores:
    """The figures over the truly visible points, and those over all. Arguments as `BenchmarkScores`."""

    def __init__(self, spacing: Spacing, clip_frames: int, clip_stride: int):
        self._visible, self._all = (BenchmarkScores(spacing, clip_frames, clip_stride) for _ in range(2))
        self._known_everywhere = True
        self._num_unmasked = 0
        self._right: dict[str, list[float]] = defaultdict(list)
        self._shares: list[float] = []

    @property
    def num_clips(self) -> int:
        return self._visible.num_clips

    def add(
        self,
        truth: np.ndarray,
        visible: np.ndarray | None,
        forecasts: dict[str, np.ndarray],
        forecast_visible: dict[str, np.ndarray | None],
    ) -> None:
        """As `BenchmarkScores.add`, and which points each forecast says are visible, bool [T, H, W], where it does."""
        self._visible.add(truth, visible, forecasts)
        everywhere = all(np.isfinite(tracks).all() for tracks in (truth, *forecasts.values()))
        self._known_everywhere = self._known_everywhere and everywhere
        if self._known_everywhere:
            self._all.add(truth, None, forecasts)
        if visible is None:
            self._num_unmasked += 1
            return
        self._shares.append(float(visible.mean()))
        for name, flags in forecast_visible.items():
            if flags is not None:
                self._right[name].append(float((flags == visible).mean()))

    def summary(self) -> dict:
        """{"n_clips", "n_unmasked", "visible_share", "rows": {name: {"visible": figures, "all_points": figures}}};
        "all_points" is None where a hidden position is not known."""
        visible = self._visible.summary()
        everywhere = self._all.summary() if self._known_everywhere else dict.fromkeys(visible)
        right = {name: {"visibility_accuracy": _mean(values)} for name, values in self._right.items()}
        return {
            "n_clips": self.num_clips,
            "n_unmasked": self._num_unmasked,
            "visible_share": _mean(self._shares),
            "rows": {
                name: {"visible": visible[name] | right.get(name, {}), "all_points": everywhere[name]}
                for name in visible
            },
        }


class _Row:
    def __init__(self):
        self.smoothness: dict[str, list[float | None]] = {metric: [] for metric in _SMOOTHNESS}  # of every clip
        self.clips: list[MotionHistograms] = []
        self.whole: list[MotionHistograms] = []
        self._errors = {"all": 0.0, "first": 0.0}
        self._points = {"all": 0, "first": 0}

    def add_errors(self, tracks: np.ndarray, truth: np.ndarray, counted: np.ndarray) -> None:
        for name, frames in (("all", len(truth)), ("first", FIRST_FRAMES)):
            points = int(counted[:frames].sum())
            if points:
                self._errors[name] += points * vepe(tracks[:frames], truth[:frames], counted[:frames])
                self._points[name] += points

    def vepe(self, name: str) -> float | None:
        """Pooled over clips: every visible point counts the same."""
        return self._errors[name] / self._points[name] if self._points[name] else None


def _or_none(
    measure: Callable[[np.ndarray, Spacing, np.ndarray | None], float],
    tracks: np.ndarray,
    spacing: Spacing,
    visible: np.ndarray | None,
) -> float | None:
    """None of a clip of which nothing is visible: the official command leaves it out."""
    try:
        return measure(tracks, spacing, visible)
    except NothingVisible:
        return None


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _distance(generated: list[MotionHistograms], reference: list[MotionHistograms]) -> dict[str, float] | None:
    """None of fewer than two clips: a covariance needs two."""
    generated, reference = _together(generated), _together(reference)
    return None if len(reference.velocity) < 2 else asdict(fvmd_of_histograms(generated, reference))


def _together(parts: list[MotionHistograms]) -> MotionHistograms:
    return MotionHistograms(
        np.concatenate([part.velocity for part in parts]), np.concatenate([part.acceleration for part in parts])
    )
