"""The measurement of the closed loop, end to end, and its figures on motions made up."""

import re
import subprocess
import sys

import numpy as np
import pytest
from tiny_policy import write_policy

from trajforecast_ros.closed_loop import Motions, summary_line

AROUND = np.stack([np.cos(np.arange(8)), np.sin(np.arange(8))], axis=-1) * 4.0


def test_the_figures_of_an_arm_that_goes_half_as_far_at_right_angles_or_not_at_all():
    half = summary_line("half", Motions(AROUND, AROUND / 2))
    assert "8 forecasts" in half and "to go 4.00 px, went 2.00 px, 0.50 of" in half
    assert "cosine 1.00 over 8, correlation 1.00 in x, 1.00 in y" in half
    assert "cosine 0.00 over 8" in summary_line("astray", Motions(AROUND, AROUND[:, ::-1] * (1, -1)))
    assert "no direction to compare" in summary_line("still", Motions(AROUND, np.zeros((8, 2))))


@pytest.mark.slow
def test_both_policies_are_measured(tiny_checkpoint):
    arguments = ["--checkpoint", tiny_checkpoint, "--samples", "1", "--steps", "6"]
    result = subprocess.run(
        [sys.executable, "-m", "trajforecast_ros.closed_loop", *map(str, arguments)], capture_output=True, text=True
    )

    assert result.returncode == 0, result.stderr
    follows, nothing = result.stdout.splitlines()
    # A forecast each step, of which the last ones' futures are not seen.
    assert follows.startswith("follows the medoid: 3 forecasts")
    assert "went 0.00 px" in nothing


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "scene"), [([], "seed 0"), (["--real-time"], "seed 0, in real time")], ids=["lockstep", "real time"]
)
def test_whether_a_trained_policy_solves_the_task_is_told(tiny_checkpoint, tmp_path, given, scene):
    policy = write_policy(tmp_path / "policy", tiny_checkpoint, tracks="none")
    arguments = ["--policy", str(policy), "--task", "7", "--steps", "6", *given]
    result = subprocess.run(
        [sys.executable, "-m", "trajforecast_ros.closed_loop", *arguments], capture_output=True, text=True
    )

    assert result.returncode == 0, result.stderr
    said = re.fullmatch(rf"libero_object task 7, {scene}: not solved in (\d+) steps\n", result.stdout)
    # In real time a step may pass unseen.
    assert said and (int(said[1]) == 6 or (given and int(said[1]) > 6))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--policy", "nowhere"], "does not exist"),
        (["--policy", "x", "--samples", "4"], "brings its own"),
        (["--real-time"], "give --policy"),
    ],
)
def test_a_policy_that_is_not_there_or_told_what_it_knows_is_refused(arguments, complaint):
    result = subprocess.run(
        [sys.executable, "-m", "trajforecast_ros.closed_loop", *arguments], capture_output=True, text=True
    )
    assert result.returncode == 2 and complaint in result.stderr and "Traceback" not in result.stderr


def test_too_few_steps_are_refused():
    result = subprocess.run(
        [sys.executable, "-m", "trajforecast_ros.closed_loop", "--steps", "4"], capture_output=True, text=True
    )
    assert result.returncode == 2 and "lookahead" in result.stderr
