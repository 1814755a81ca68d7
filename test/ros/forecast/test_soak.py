"""A minute of the soak: every fault takes its turn, and nothing is lost sight of."""

import pytest
from soak import PHASES, RATE, soak


@pytest.mark.slow
def test_a_minute_with_every_fault(listener, tiny_checkpoint, tmp_path):
    frames = round(60 * RATE)
    report, said = soak(listener, tiny_checkpoint, frames, frames // len(PHASES), tmp_path / "node.log")
    assert not report.crashed, said
    assert report.exit_code == 0, said
    assert report.frames >= frames and report.forecasts > 0
    assert report.images_unaccounted == 0, report
    assert report.forecasts <= report.forecasts_made, "none is counted twice"
    assert report.images_dropped["refused"] > 0 and report.images_dropped["superseded"] > 0
    assert report.parameter_changes > 0 and report.refused_parameter_changes > 0
    assert "Traceback" not in said
    # Refused and missing images are named once a phase, not once an image.
    assert said.count("are refused") <= 8
    assert said.count("no image from camera effector") <= 4
