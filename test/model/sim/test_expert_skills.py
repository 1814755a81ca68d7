"""What the scripted expert makes of a task's goals, and in real LIBERO that it opens a drawer."""

import numpy as np
import pytest

pytest.importorskip("mujoco")

from trajforecast_model.sim.environment import Goal, TaskEnvironment, all_tasks, find_task
from trajforecast_model.sim.mujoco_setup import configure_mujoco

configure_mujoco()

from trajforecast_model.sim.episode import run_futures  # noqa: E402
from trajforecast_model.sim.expert.clearance import highest_between, hits  # noqa: E402
from trajforecast_model.sim.expert.phases import Phase  # noqa: E402
from trajforecast_model.sim.expert.skills import check_known, in_order  # noqa: E402
from trajforecast_model.sim.expert.variation import varied  # noqa: E402

DRAWER = "white_cabinet_1_bottom_region"


@pytest.mark.parametrize(
    "asked, reached",
    [
        (
            [Goal("close", DRAWER), Goal("in", "bowl_1", DRAWER)],
            [Goal("in", "bowl_1", DRAWER), Goal("close", DRAWER)],
        ),
        (
            [Goal("close", "microwave_1"), Goal("in", "mug_1", "microwave_1_heating_region")],
            [Goal("in", "mug_1", "microwave_1_heating_region"), Goal("close", "microwave_1")],
        ),
        (
            [Goal("close", "cabinet_1_top_region"), Goal("on", "bowl_1", "cabinet_1_top_side")],
            [Goal("close", "cabinet_1_top_region"), Goal("on", "bowl_1", "cabinet_1_top_side")],
        ),
        (
            [Goal("on", "bowl_1", "bowl_2"), Goal("in", "bowl_2", "tray_1")],
            [Goal("on", "bowl_1", "bowl_2"), Goal("in", "bowl_2", "tray_1")],
        ),
    ],
    ids=["drawer that is filled", "microwave that is filled", "drawer below", "stack"],
)
def test_what_is_filled_is_closed_last_and_all_else_keeps_its_order(asked, reached):
    assert in_order(asked) == reached


def test_a_goal_without_a_skill_is_named():
    check_known([Goal("in", "milk_1", "basket_1"), Goal("close", DRAWER)])
    with pytest.raises(ValueError, match=r"asks to printjointstate milk_1, for which .* no skill"):
        check_known([Goal("in", "milk_1", "basket_1"), Goal("printjointstate", "milk_1")])


def test_the_hand_hits_what_stands_where_its_fingers_and_palm_go():
    place, across = np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0])
    between, at_a_finger, under_the_palm, beside = np.array(
        [[0.01, 0, 1.0], [0.045, 0, 1.0], [0.08, 0, 1.1], [0, 0.06, 1.1]]
    )
    assert hits(np.array([between, beside]), place, across) == 0
    assert hits(np.array([at_a_finger, under_the_palm]), place, across) == 2
    assert hits(np.array([under_the_palm]), place, np.array([0.0, 1.0])) == 0


def test_only_what_is_on_the_way_is_carried_over():
    points = np.array([[0.5, 0.05, 1.2], [0.5, 0.5, 2.0]])
    assert highest_between(points, np.zeros(3), np.array([1.0, 0, 0]), margin=0.1) == 1.2
    assert highest_between(points[1:], np.zeros(3), np.array([1.0, 0, 0]), margin=0.1) == -np.inf


def test_two_seeds_go_different_ways_to_the_same_places_and_one_seed_the_same():
    phases = [Phase("move", np.array([x, 0.0, 0.0]), np.eye(3), 1.0, 0.02, 50) for x in (0.5, 1.0, 1.5)]
    first, again, other = (varied(phases, np.zeros(3), np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert [phase.speed for phase in first] == [phase.speed for phase in again]
    assert [phase.speed for phase in first] != [phase.speed for phase in other]
    for way in (first, other):
        assert [target for target in (0.5, 1.0, 1.5) if any(phase.target[0] == target for phase in way)] == [
            0.5,
            1.0,
            1.5,
        ]


@pytest.mark.slow
def test_every_task_of_libero_is_a_list_of_goals_that_have_a_skill():
    from libero.libero.envs.bddl_utils import robosuite_parse_problem

    count = 0
    for suite in ("libero_object", "libero_spatial", "libero_goal", "libero_10", "libero_90"):
        for number in all_tasks(suite):
            problem = robosuite_parse_problem(find_task(suite, number).bddl_file)
            check_known([Goal(relation.lower(), *names) for relation, *names in problem["goal_state"]])
            count += 1
    assert count == 130


@pytest.mark.slow
def test_a_drawer_is_opened():
    environment = TaskEnvironment(find_task("libero_90", 7))
    (record,) = run_futures(environment, seed=0, futures=1)
    assert record.instruction == "open the top drawer of the cabinet"
    environment.close()
