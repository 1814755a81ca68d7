"""LIBERO-PRO's perturbed tasks, as they are installed."""

import pytest

from trajforecast_model.sim.environment import TaskEnvironment, find_task
from trajforecast_model.sim.perturbations import PERTURBATIONS, perturbed

MILK = 7


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("swap", "pick up the milk and place it in the basket"),
        ("object", "pick up the milk and place it in the basket"),
        ("lan", "grab milk and put into basket"),
        ("task", "Pick the butter and place it in the basket"),
    ],
)
def test_only_what_is_said_anew_changes_the_instruction(name, said):
    task = find_task("libero_object", MILK)
    other = perturbed(task, name)
    assert other.instruction == said
    assert other.name == task.name and other.bddl_file != task.bddl_file


@pytest.mark.parametrize("name", PERTURBATIONS)
@pytest.mark.parametrize("suite", ["libero_spatial", "libero_object", "libero_goal", "libero_10"])
def test_every_task_of_the_four_suites_has_them_all(suite, name):
    assert all(perturbed(find_task(suite, number), name).instruction for number in range(10))


@pytest.mark.slow
def test_another_thing_is_the_goal_where_another_is_asked_for():
    environment = TaskEnvironment(perturbed(find_task("libero_object", MILK), "task"))
    environment.reset(0)
    assert [goal.item for goal in environment.goals()] == ["butter_1"]
    environment.close()


def test_what_there_is_not_is_refused():
    task = find_task("libero_object", MILK)
    with pytest.raises(ValueError, match="unknown perturbation 'colour'; choose one of swap, object, lan, task"):
        perturbed(task, "colour")
    with pytest.raises(ValueError, match="has no 'swap' of libero_90 task 3"):
        perturbed(find_task("libero_90", 3), "swap")
