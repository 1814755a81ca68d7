import importlib.util
import runpy
from pathlib import Path

import pytest

from trajforecast_model.evaluation.suites import suite_of


@pytest.mark.parametrize(
    ("task", "suite"),
    [
        ("pick_up_the_milk_and_place_it_in_the_basket", "libero_object"),
        ("pick_up_the_black_bowl_on_the_stove_and_place_it_on_the_plate", "libero_spatial"),
        ("turn_on_the_stove", "libero_goal"),
        ("KITCHEN_SCENE8_put_both_moka_pots_on_the_stove", "libero_10"),
        ("KITCHEN_SCENE8_turn_off_the_stove", "libero_90"),
        ("fold_the_towel", "other"),
        ("discs", "other"),
    ],
)
def test_suite_by_name(task, suite):
    assert suite_of(task) == suite


def test_every_task_of_libero_is_in_its_suite():
    package = importlib.util.find_spec("libero")
    if package is None:
        pytest.skip("needs the simulator's packages")
    path = Path(next(iter(package.submodule_search_locations))) / "libero" / "libero_suite_task_map.py"
    suites = runpy.run_path(str(path))["libero_task_map"]
    for suite in ("libero_90", "libero_10", "libero_goal", "libero_object", "libero_spatial"):
        assert {suite_of(task) for task in suites[suite]} == {suite}
