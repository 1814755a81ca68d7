"""How smooth a field of tracks is across the image: neighbours that move alike score low. Pure numpy.

Source: TrajLoom, arXiv 2603.22606, eq. 15-17, with the averaging and the finite differences of its published benchmark
(eq. 16 divides by the spacing twice, that benchmark once). Its figures are averages over videos.
The flow is f[t] = x[t + 1] - x[t]; d_x and d_y are differences to the next column and row, divided by the spacing.
Neither looks at the truth: a forecast in which nothing moves has zero. Compare with the figure of the true tracks.
"""

import numpy as np

Spacing = float | tuple[float, float]  # pixels between neighbouring query points; (across, down) where these differ


class NothingVisible(ValueError):
    """No difference counts: there is nothing to average."""


def flow_tv(tracks: np.ndarray, spacing: Spacing, visible: np.ndarray | None = None) -> float:
    """Total variation of the flow: |d_x f|_1 averaged over neighbours in x, plus the same in y, averaged over time.

    Args:
        tracks: [T, H, W, 2], px; at least two frames and 2x2 points.
        spacing: pixels between neighbouring query points, or (across, down) where these differ.
        visible: bool [T, H, W]; a difference counts where both its points are visible in both its frames. None: all.
            A direction without such a pair adds nothing in that frame; a frame without any is left out.

    Returns:
        1/frame: pixels of flow a pixel of distance.

    Raises:
        ValueError: for other shapes; `NothingVisible` where no difference counts.
    """
    flow, valid = _flow(tracks, visible)
    across, down = _spacings(spacing)
    along_x = np.abs(np.diff(flow, axis=2)).sum(axis=-1) / across  # [T - 1, H, W - 1]
    along_y = np.abs(np.diff(flow, axis=1)).sum(axis=-1) / down  # [T - 1, H - 1, W]
    x_sum, x_pairs = _sum_where(along_x, valid[:, :, 1:] & valid[:, :, :-1])
    y_sum, y_pairs = _sum_where(along_y, valid[:, 1:] & valid[:, :-1])
    counted = (x_pairs > 0) | (y_pairs > 0)
    variation = x_sum / np.maximum(x_pairs, 1) + y_sum / np.maximum(y_pairs, 1)  # [T - 1]
    return _mean_over_time(variation, counted)


def div_curl_energy(tracks: np.ndarray, spacing: Spacing, visible: np.ndarray | None = None) -> float:
    """Squared divergence plus squared curl of the flow, averaged over grid cells, then over time (DivCurlE).

    (d_x u + d_y v)^2 + (d_x v - d_y u)^2 for the flow (u, v). Arguments and errors as `flow_tv`; a cell counts where
    its three points (here, right, below) are visible in both frames.

    Returns:
        1/frame^2
    """
    flow, valid = _flow(tracks, visible)
    across, down = _spacings(spacing)
    along_x = np.diff(flow, axis=2)[:, :-1] / across  # [T - 1, H - 1, W - 1, 2]
    along_y = np.diff(flow, axis=1)[:, :, :-1] / down
    divergence = along_x[..., 0] + along_y[..., 1]
    curl = along_x[..., 1] - along_y[..., 0]
    cells = valid[:, :-1, :-1] & valid[:, :-1, 1:] & valid[:, 1:, :-1]
    energy, count = _sum_where(divergence**2 + curl**2, cells)
    return _mean_over_time(energy / np.maximum(count, 1), count > 0)


def _spacings(spacing: Spacing) -> tuple[float, float]:
    across, down = spacing if isinstance(spacing, tuple) else (spacing, spacing)
    if not (across > 0 and down > 0):
        raise ValueError(f"spacing: got {spacing}, expected the pixels between neighbouring query points")
    return across, down


def _flow(tracks: np.ndarray, visible: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The flow [T - 1, H, W, 2] and where it is known, bool [T - 1, H, W]."""
    tracks = np.asarray(tracks, np.float64)
    if tracks.ndim != 4 or tracks.shape[-1] != 2 or min(tracks.shape[:3]) < 2:
        raise ValueError(
            f"tracks: expected [T, H, W, 2] of at least two frames and 2x2 points, got {list(tracks.shape)}"
        )
    if visible is None:
        visible = np.ones(tracks.shape[:3], bool)
    visible = np.asarray(visible)
    if visible.dtype != bool or visible.shape != tracks.shape[:3]:
        raise ValueError(f"visible: expected bool {list(tracks.shape[:3])}, got {visible.dtype} {list(visible.shape)}")
    return np.diff(tracks, axis=0), visible[1:] & visible[:-1]


def _sum_where(values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per frame, the sum of the values that count and their number, [T - 1] each."""
    return np.where(counts, values, 0).sum(axis=(1, 2)), counts.sum(axis=(1, 2))


def _mean_over_time(values: np.ndarray, counted: np.ndarray) -> float:
    if not counted.any():
        raise NothingVisible("visible: no neighbouring points are visible in two frames in a row")
    return float(values[counted].mean())
