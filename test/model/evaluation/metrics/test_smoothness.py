import numpy as np
import pytest

from trajforecast_model.evaluation.metrics import div_curl_energy, flow_tv
from trajforecast_model.tracks.grid import query_points

SPACING = 4.0
POINTS = query_points((8, 8), (32, 32)).astype(np.float64)  # [8, 8, 2], 4 px apart
X, Y = POINTS[..., 0], POINTS[..., 1]


def linear_flow(du_dx: float, du_dy: float, dv_dx: float, dv_dy: float, frames: int = 5) -> np.ndarray:
    """Tracks [T, 8, 8, 2] whose flow is the same in every frame and linear in the image."""
    flow = np.stack([du_dx * X + du_dy * Y + 3, dv_dx * X + dv_dy * Y - 1], axis=-1)
    return POINTS + np.arange(frames)[:, None, None, None] * flow


@pytest.mark.parametrize(
    ("flow", "variation", "energy"),
    [
        ((0, 0, 0, 0), 0, 0),  # all move alike
        ((0.1, 0, 0, 0.1), 0.2, 0.04),  # expansion: divergence 0.2
        ((0, -0.1, 0.1, 0), 0.2, 0.04),  # rotation: curl 0.2
        ((0.1, 0, 0, -0.1), 0.2, 0),  # pure strain has neither
        ((0.3, 0.02, -0.05, 0.1), 0.47, 0.4**2 + 0.07**2),
    ],
)
def test_linear_flows_known_on_paper(flow, variation, energy):
    tracks = linear_flow(*flow)
    assert flow_tv(tracks, SPACING) == pytest.approx(variation, abs=1e-9)
    assert div_curl_energy(tracks, SPACING) == pytest.approx(energy, abs=1e-9)


def test_they_grow_with_noise_and_scale_with_the_flow():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(5, 8, 8, 2))
    smooth = linear_flow(0.1, 0, 0, 0.1)
    for metric, power in ((flow_tv, 1), (div_curl_energy, 2)):
        values = [metric(smooth + sigma * noise, SPACING) for sigma in (0, 1, 4)]
        assert values == sorted(values)
        assert metric(3 * noise, SPACING) == pytest.approx(3**power * metric(noise, SPACING))
        assert metric(noise, SPACING / 2) == pytest.approx(2**power * metric(noise, SPACING))


def test_points_may_be_farther_apart_down_than_across():
    tracks = linear_flow(0.3, 0.02, -0.05, 0.1)[:, ::2]  # 4 px across, 8 px down
    assert flow_tv(tracks, (4.0, 8.0)) == pytest.approx(0.47)
    assert div_curl_energy(tracks, (4.0, 8.0)) == pytest.approx(0.4**2 + 0.07**2)


@pytest.mark.parametrize("metric", [flow_tv, div_curl_energy])
def test_hidden_points_do_not_count(metric):
    rng = np.random.default_rng(0)
    tracks = linear_flow(0.1, 0.05, 0, 0.2)
    visible = np.ones((5, 8, 8), bool)
    visible[:, 2, 3] = False  # one point throughout
    visible[3] = False  # and one frame, which leaves the flows 0 -> 1 and 1 -> 2
    spoilt = tracks.copy()
    spoilt[~visible] += rng.normal(0, 50, (int((~visible).sum()), 2))
    assert metric(spoilt, SPACING, visible) == pytest.approx(metric(tracks[:3], SPACING))
    assert metric(spoilt, SPACING) > 2 * metric(tracks, SPACING)


@pytest.mark.parametrize("metric", [flow_tv, div_curl_energy])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((5, 8, 8)), 1.0), r"\[T, H, W, 2\]"),
        ((np.zeros((1, 8, 8, 2)), 1.0), "at least two frames"),
        ((np.zeros((5, 8, 8, 2)), 0.0), "spacing: got 0.0"),
        ((np.zeros((5, 8, 8, 2)), (1.0, 0.0)), r"spacing: got \(1.0, 0.0\)"),
        ((np.zeros((5, 8, 8, 2)), 1.0, np.ones((5, 8, 8))), "visible: expected bool"),
        ((np.zeros((5, 8, 8, 2)), 1.0, np.zeros((5, 8, 8), bool)), "no neighbouring points"),
    ],
)
def test_wrong_input_is_refused(metric, arguments, message):
    with pytest.raises(ValueError, match=message):
        metric(*arguments)
