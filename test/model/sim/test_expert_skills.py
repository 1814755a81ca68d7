"""What the scripted expert makes of a task's goals, and in real LIBERO that it reaches two of them."""

import pytest

pytest.importorskip("mujoco")

from trajforecast_model.sim.environment import Goal
from trajforecast_model.sim.mujoco_setup import configure_mujoco

configure_mujoco()

from trajforecast_model.sim.expert.skills import check_known, in_order  # noqa: E402

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
    with pytest.raises(ValueError, match=r"asks to open white_cabinet_1_bottom_region, for which .* no skill"):
        check_known([Goal("in", "milk_1", "basket_1"), Goal("open", DRAWER)])
