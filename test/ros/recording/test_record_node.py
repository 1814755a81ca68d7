"""record_node beside cameras of every kind, all in the test's process."""

import numpy as np
import pytest
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from robot import RELIABLE, header, picture
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from trajforecast_msgs.msg import PredictedTracks, TrackSummary

from trajforecast_model.forecast import Forecast
from trajforecast_ros.images import to_message
from trajforecast_ros.messages import Circumstances, Source, summary_message, tracks_message
from trajforecast_ros.recording.folder import Recording
from trajforecast_ros.recording.record_node import RecordNode


@pytest.fixture
def recording(listener, tmp_path):
    """What a node records, which goes on when the test spins the listener."""
    node = RecordNode(parameter_overrides=[Parameter("output", value=str(tmp_path))])
    listener.executor.add_node(node)
    yield Recording(tmp_path)
    listener.executor.remove_node(node)
    node.destroy_node()


def test_images_of_cameras_that_are_best_effort_and_of_reliable_ones(recording, listener):
    offers = {"side": qos_profile_sensor_data, "effector": RELIABLE}
    cameras = {view: listener.node.create_publisher(Image, f"{view}/image_raw", qos) for view, qos in offers.items()}

    def recorded() -> bool:
        for view, camera in cameras.items():
            camera.publish(to_message(picture(view), header(view, 7)))
        return all(recording.image_stamps(view) for view in cameras)

    listener.wait_for(recorded, "an image of each")
    assert recording.image_stamps("side") == [7_000_000_000]
    assert np.array_equal(recording.image("side", 7_000_000_000), picture("side"))


def test_images_without_a_stamp_do_not_take_each_others_place(recording, listener):
    camera = listener.node.create_publisher(Image, "side/image_raw", RELIABLE)

    def three_recorded() -> bool:
        camera.publish(to_message(picture("side"), Header()))
        return len(recording.image_stamps("side")) >= 3

    listener.wait_for(three_recorded, "three images")


def forecast_messages(compute_time: float) -> tuple[PredictedTracks, TrackSummary]:
    """Of the same images as every other; the tracks lie at the compute time."""
    tracks = np.full((1, 2, 3, 4, 4, 2), compute_time, np.float32)
    forecast = Forecast(views=("side",), tracks=tracks, visibility=None, steps=1, seed=0, dt=0.05)
    circumstances = Circumstances([Source("side", header("side", 3), 8, 8)], "go", "model", compute_time)
    return tracks_message(forecast, circumstances), summary_message(forecast, circumstances)


def test_two_forecasts_of_the_same_images_are_both_recorded_and_not_mixed(recording, listener):
    publishers = [
        listener.node.create_publisher(PredictedTracks, "predicted_tracks", QoSProfile(depth=10)),
        listener.node.create_publisher(TrackSummary, "predicted_tracks/summary", QoSProfile(depth=10)),
    ]
    listener.wait_for(lambda: all(each.get_subscription_count() for each in publishers), "the recorder")
    forecasts = [forecast_messages(1.0), forecast_messages(2.0)]
    for publisher, messages in zip(publishers, zip(*forecasts, strict=True), strict=True):
        for message in messages:
            publisher.publish(message)

    listener.wait_for(lambda: len(list(recording.folder.glob("forecast_*.npz"))) == 2, "both forecasts")
    [stamp] = recording.forecast_stamps()
    first = recording.forecast(stamp)
    assert (first.compute_time, first.tracks.max(), first.mean_t.max()) == (1.0, 1.0, 1.0)


def test_a_summary_that_arrives_before_its_tracks_is_recorded_with_them(ros, tmp_path):
    node = RecordNode(parameter_overrides=[Parameter("output", value=str(tmp_path))])
    tracks, summary = forecast_messages(1.0)
    # Called directly: in which order two topics arrive cannot be asked of DDS.
    node._on_summary(summary)
    assert not Recording(tmp_path).forecast_stamps()
    node._on_tracks(tracks)
    assert len(Recording(tmp_path).forecast_stamps()) == 1
    node.destroy_node()
