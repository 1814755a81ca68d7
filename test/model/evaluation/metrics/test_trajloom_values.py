"""Our metrics against TrajLoom's official benchmark commands, on two sets of random walks."""

import numpy as np
import pytest
from trajloom_clips import case_a, case_b

from trajforecast_model.evaluation.metrics import clips, div_curl_energy, flow_tv, fvmd, vepe

A, B = case_a(), case_b()


@pytest.mark.parametrize(
    ("metric", "case", "masked", "unmasked"),
    [
        (flow_tv, A, 0.28185525, 0.28206557),
        (flow_tv, B, 0.56599091, 0.56446612),
        (div_curl_energy, A, 0.031265668, 0.031222880),
        (div_curl_energy, B, 0.12594778, 0.12508714),
    ],
)
def test_smoothness_is_the_mean_over_videos(metric, case, masked, unmasked):
    videos = list(zip(case.forecast, case.visible, strict=True))
    of_visible = [metric(tracks, case.spacing, visible) for tracks, visible in videos]
    assert np.mean(of_visible) == pytest.approx(masked, rel=1e-5)
    assert np.mean([metric(tracks, case.spacing) for tracks, _ in videos]) == pytest.approx(unmasked, rel=1e-5)


@pytest.mark.parametrize(("case", "whole", "first_24"), [(A, 18.903707, 10.463985), (B, 13.600691, 10.538447)])
def test_vepe_is_pooled_over_videos(case, whole, first_24):
    assert vepe(case.forecast, case.truth, case.visible) == pytest.approx(whole, rel=1e-5)
    begun = [tracks[:, :24] for tracks in (case.forecast, case.truth, case.visible)]
    assert vepe(*begun) == pytest.approx(first_24, rel=1e-5)


@pytest.mark.parametrize(
    ("case", "frames", "masked", "expected"),
    [
        (A, 16, True, (236.0770, 186.8073, 522.0798)),
        (A, 24, True, (438.5727, 371.5121, 934.4132)),
        (A, 24, False, (759.0264, 783.0508, 1795.3067)),
        (A, 81, True, (2624.5240, 2310.9894, 4944.2300)),
        (B, 16, True, (106.0575, 83.9623, 227.5007)),
        (B, 24, True, (204.4878, 170.4188, 417.1677)),
        (B, 24, False, (347.8279, 365.1947, 790.1770)),
        (B, 40, True, (542.6900, 469.5641, 1021.1210)),
    ],
)
def test_fvmd_of_clips_beginning_at_every_frame(case, frames, masked, expected):
    # As the official files store them; in float64 a weight at the edge of its bin may differ, by 3e-5 of the distance.
    generated, reference = (clips(tracks.astype(np.float32), frames) for tracks in (case.forecast, case.truth))
    distance = fvmd(generated, reference, clips(case.visible, frames) if masked else None)
    found = (distance.velocity, distance.acceleration, distance.combined)
    assert found == pytest.approx(expected, abs=1e-3)
