"""Whether frames were recorded when their number says: the times beside them, where there are any, against the rate."""

import math

import numpy as np

# By how much the mean rate may differ from the assumed one in silence.
_SAME_RATE = 0.01
# The longest step between two frames, in usual ones, in silence and with a line: a frame left out, and no more.
_JITTER, _ONE_LEFT_OUT = 1.5, 2.5


def check_rates(dt: float | None, fps: float | None) -> None:
    """Raises ValueError, in the words of the command line, for what cannot be seconds or frames a second."""
    if dt is not None and not 0 < dt < math.inf:
        raise ValueError(f"--dt {dt}: expected seconds between two frames")
    if fps is not None and not 0 < fps < math.inf:
        raise ValueError(f"--fps {fps}: expected frames a second, above 0")


def note_on_times(times: np.ndarray, fps: float, where: str) -> str | None:
    """What there is to say of frames at `times` (seconds) that are taken to be `fps` a second; None if nothing.

    Raises:
        ValueError: where they were recorded at another rate, or with gaps, so that motion would look quicker or slower.
    """
    if len(times) < 2:
        return None
    steps = np.diff(times.astype(np.float64))
    if not (np.isfinite(steps).all() and (steps > 0).all()):
        raise ValueError(f"{where}: the times of its frames do not increase; {_remedy(fps)}")
    usual, rate = float(np.median(steps)), len(steps) / float(steps.sum())
    longest = float(steps.max()) / usual
    if longest > _ONE_LEFT_OUT:
        after = int(steps.argmax())
        raise ValueError(
            f"{where}: {steps.max():.3g} s lie between its frames {after} and {after + 1}, {usual:.3g} s elsewhere: "
            f"frames are missing; {_remedy(fps)}"
        )
    expected, lasting = len(steps), float(steps.sum()) * fps  # in frames
    if not nearly(min(expected, lasting), max(expected, lasting)):
        raise ValueError(f"{where}: the times of its frames say {rate:.4g} a second, not {fps:g}; {_remedy(rate)}")
    if longest > _JITTER:
        return f"{where}: a frame was left out in places (steps of {steps.max():.3g} s); taken as {fps:g} a second"
    if abs(rate / fps - 1) > _SAME_RATE:
        return f"{where}: the times of its frames say {rate:.4g} a second; taken as {fps:g}"
    return None


def _remedy(fps: float) -> str:
    return f"give --fps {fps:.4g} to take them as evenly spaced at that rate, whatever their times"


def agreed_length(counts: dict[str, int], where: str) -> tuple[int, str | None]:
    """How many frames there are, and what there is to say of it, where several tell: the fewest, if they nearly agree.

    Args:
        counts: by what tells it.

    Raises:
        ValueError: where they differ by more than one frame and a twentieth.
    """
    fewest, most = min(counts.values()), max(counts.values())
    said = ", ".join(f"{count} by {what}" for what, count in counts.items())
    if not nearly(fewest, most):
        raise ValueError(f"{where}: its frames are {said}; which is it?")
    return fewest, None if fewest == most else f"{where}: its frames are {said}; the first {fewest} are used"


def in_step(lengths_and_rates: dict[str, tuple[int, float]], where: str) -> tuple[int, float]:
    """The frames that all views of a demo have, and their rate.

    Raises:
        ValueError: where the views are of other lengths or rates.
    """
    lengths, rates = zip(*lengths_and_rates.values(), strict=True)
    if max(rates) > 1.01 * min(rates) or not nearly(min(lengths), max(lengths)):
        raise ValueError(
            f"{where}: its views {', '.join(lengths_and_rates)} are not in step: {', '.join(map(str, lengths))} frames at "
            f"{', '.join(f'{fps:g}' for fps in rates)} a second; cut or convert them to the same frames"
        )
    return min(lengths), rates[0]


def nearly(fewest: float, most: float) -> bool:
    """Whether two recordings of one episode may differ so: by one frame, or a twentieth."""
    return most - fewest <= max(1, 0.05 * most) + 1e-6
