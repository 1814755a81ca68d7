"""Which LIBERO suite a task is of, by its name as LIBERO's files have it."""

OTHER = "other"  # not of LIBERO

_LIBERO_10 = {
    "KITCHEN_SCENE3_turn_on_the_stove_and_put_the_moka_pot_on_it",
    "KITCHEN_SCENE4_put_the_black_bowl_in_the_bottom_drawer_of_the_cabinet_and_close_it",
    "KITCHEN_SCENE6_put_the_yellow_and_white_mug_in_the_microwave_and_close_it",
    "KITCHEN_SCENE8_put_both_moka_pots_on_the_stove",
    "LIVING_ROOM_SCENE1_put_both_the_alphabet_soup_and_the_cream_cheese_box_in_the_basket",
    "LIVING_ROOM_SCENE2_put_both_the_alphabet_soup_and_the_tomato_sauce_in_the_basket",
    "LIVING_ROOM_SCENE2_put_both_the_cream_cheese_box_and_the_butter_in_the_basket",
    "LIVING_ROOM_SCENE5_put_the_white_mug_on_the_left_plate_and_put_the_yellow_and_white_mug_on_the_right_plate",
    "LIVING_ROOM_SCENE6_put_the_white_mug_on_the_plate_and_put_the_chocolate_pudding_to_the_right_of_the_plate",
    "STUDY_SCENE1_pick_up_the_book_and_place_it_in_the_back_compartment_of_the_caddy",
}
_LIBERO_GOAL = {
    "open_the_middle_drawer_of_the_cabinet",
    "open_the_top_drawer_and_put_the_bowl_inside",
    "push_the_plate_to_the_front_of_the_stove",
    "put_the_bowl_on_the_plate",
    "put_the_bowl_on_the_stove",
    "put_the_bowl_on_top_of_the_cabinet",
    "put_the_cream_cheese_in_the_bowl",
    "put_the_wine_bottle_on_the_rack",
    "put_the_wine_bottle_on_top_of_the_cabinet",
    "turn_on_the_stove",
}


def suite_of(task: str) -> str:
    """libero_90, libero_10, libero_goal, libero_object, libero_spatial, or OTHER."""
    if task in _LIBERO_10:
        return "libero_10"
    if "_SCENE" in task:
        return "libero_90"
    if task in _LIBERO_GOAL:
        return "libero_goal"
    if task.startswith("pick_up_the_black_bowl_") and task.endswith("_and_place_it_on_the_plate"):
        return "libero_spatial"
    if task.startswith("pick_up_the_") and task.endswith("_and_place_it_in_the_basket"):
        return "libero_object"
    return OTHER
