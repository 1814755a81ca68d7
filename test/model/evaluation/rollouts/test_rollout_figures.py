"""Figures of rollouts: intervals, phases, and two reports on the same scenes."""

import pytest

from trajforecast_model.evaluation.rollouts.report import figures, paired, paired_line, table, wilson


def episode(task: str, seed: int, furthest: str | None, steps: int = 300) -> dict:
    names = ("approached", "grasped", "transported", "placed")
    reached = names[: names.index(furthest) + 1] if furthest else ()
    phases = {name: 10 * number if name in reached else None for number, name in enumerate(names, 1)}
    return {"task": task, "seed": seed, "success": furthest == "placed", "steps": steps, "phases": phases}


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634), (140, 200, 0.6332, 0.7592)],
)
def test_wilson_s_interval(successes, trials, low, high):
    assert wilson(successes, trials) == pytest.approx([low, high], abs=2e-4)


def test_success_is_told_by_task_and_by_phase():
    episodes = [
        episode("milk", 0, "placed", 120), episode("milk", 1, "transported"), episode("butter", 0, None),
        episode("butter", 1, "placed", 180),
    ]  # fmt: skip
    told = figures(episodes)
    assert told["success"] == 0.5 and told["interval"] == wilson(2, 4)
    assert told["per_task"]["milk"] == {"success": 1, "of": 2, "interval": wilson(1, 2)}
    shares = {phase: row["share"] for phase, row in told["phases"].items()}
    assert shares == {"approached": 0.75, "grasped": 0.75, "transported": 0.75, "placed": 0.5}
    assert told["steps_to_success"] == {"median": 150, "least": 120, "most": 180}
    text = table(told | {"episodes": episodes})
    assert "milk: 1 of 2" in text and "success 50.0%" in text and "of 4 episodes" in text
    assert figures([episode("milk", 0, None)])["steps_to_success"] is None


def test_two_reports_are_compared_on_the_scenes_of_both():
    ours = [episode("milk", seed, "placed") for seed in range(20)]
    theirs = [episode("milk", seed, "placed" if seed % 2 else None) for seed in range(10)]
    told = paired(ours, theirs)
    assert (told["scenes"], told["success"], told["success_of_other"]) == (10, 1.0, 0.5)
    assert (told["only_we"], told["only_they"]) == (5, 0)
    low, high = told["interval"]
    assert 0.1 < low < told["difference"] == 0.5 < high < 0.9
    assert "+50.0 points" in paired_line(told, "none.json")
    with pytest.raises(ValueError, match="no scene"):
        paired(ours, [episode("butter", 0, None)])
