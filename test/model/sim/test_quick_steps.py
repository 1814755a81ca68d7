"""A control step computed once is robosuite's, and a scene that is used for several tasks is each task's own."""

import numpy as np
import pytest

pytest.importorskip("mujoco")

from trajforecast_model.cli import main
from trajforecast_model.sim.environment import TaskEnvironment, find_task
from trajforecast_model.sim.mujoco_setup import configure_mujoco

configure_mujoco()

STEPS = 12


@pytest.fixture(scope="module")
def environment():
    environment = TaskEnvironment(find_task("libero_90", 9))
    yield environment
    environment.close()


def states(environment: TaskEnvironment, step) -> np.ndarray:
    environment.reset(3)
    random = np.random.default_rng(0)
    made = []
    for number in range(STEPS):
        step(np.append(random.uniform(-1, 1, 6), 1.0 if number < STEPS // 2 else -1.0))
        made.append(environment.state())
    return np.array(made)


def test_a_step_is_the_one_that_robosuite_makes(environment):
    ours, theirs = states(environment, environment.step), states(environment, environment._env.step)
    assert np.abs(ours[-1] - ours[0]).max() > 0.01
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)


def test_another_task_of_the_scene_has_its_own_goals_and_the_same_beginning(environment):
    task, other = environment.task, find_task("libero_90", 10)
    environment.reset(5)
    goals, beginning = environment.goals(), environment.state()
    assert environment.turn_to(other) and environment.task == other and environment.goals() != goals
    assert not environment.turn_to(find_task("libero_object", 0)) and environment.task == other
    assert environment.turn_to(task) and environment.goals() == goals
    environment.reset(5)
    np.testing.assert_array_equal(environment.state(), beginning)


def test_successes_are_counted_without_keeping_demos_and_once(tmp_path, capsys):
    command = ["simulate", "--suite", "libero_object", "--tasks", "6", "--episodes", "1", "--count", "--workers", "1"]
    assert main([*command, "--out", str(tmp_path)]) == 0
    assert "| libero_object 6 | pick up the butter and place it in the basket | 1 of 1 |" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["successes.csv"]
    lines = (tmp_path / "successes.csv").read_text().splitlines()
    assert lines[0] == "suite,task,seed,steps,instruction" and lines[1].startswith("libero_object,6,0,")
    assert main([*command, "--out", str(tmp_path)]) == 0
    assert (tmp_path / "successes.csv").read_text().splitlines() == lines
