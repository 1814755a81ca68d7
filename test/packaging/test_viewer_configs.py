"""The ready-made views for RViz and Foxglove: they load, and show topics of this package."""

import json
from pathlib import Path

import yaml

CONFIG = Path(__file__).parents[2] / "config"
VIEWS = ("side", "effector")
TOPICS = (
    {f"/{view}/image_raw" for view in VIEWS}
    | {f"/forecast_node/{kind}/{view}" for kind in ("overlay", "annotations") for view in VIEWS}
    | {"/forecast_node/markers", "/diagnostics", "/predicted_tracks/score"}
)


def panels(layout) -> set[str]:
    if isinstance(layout, str):
        return {layout}
    assert layout["direction"] in ("row", "column")
    return panels(layout["first"]) | panels(layout["second"])


def test_the_foxglove_layout_shows_every_panel_it_configures_and_topics_of_ours():
    layout = json.loads((CONFIG / "foxglove_layout.json").read_text())
    configured = layout["configById"]

    assert panels(layout["layout"]) == set(configured)
    images = [panel["imageMode"] for name, panel in configured.items() if name.startswith("Image!")]
    shown = {image["imageTopic"] for image in images} | {topic for image in images for topic in image["annotations"]}
    shown |= {configured["DiagnosticSummary!forecast"]["topicToRender"]}
    shown |= {path["value"].split(".")[0] for path in configured["Plot!score"]["paths"]}
    assert shown == TOPICS - {"/forecast_node/markers"}


def test_the_rviz_config_shows_topics_of_ours_in_the_frame_that_the_images_have():
    manager = yaml.safe_load((CONFIG / "forecast.rviz").read_text())["Visualization Manager"]

    displays = {display["Class"].split("/")[1]: display["Topic"]["Value"] for display in manager["Displays"]}
    assert displays["Marker"] == "/forecast_node/markers"
    assert {display["Topic"]["Value"] for display in manager["Displays"]} <= TOPICS
    assert manager["Global Options"]["Fixed Frame"] == "side_camera_optical_frame"
