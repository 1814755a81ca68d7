"""What the demo reads of a bag, also while it grows."""

import numpy as np
import pytest
from bags import received
from robot import header
from std_msgs.msg import Header, String
from trajforecast_msgs.msg import PredictedTracks, TrackSummary

from trajforecast_model.forecast import Forecast
from trajforecast_ros.images import to_message
from trajforecast_ros.messages import Circumstances, Source, summary_message, tracks_message
from trajforecast_ros.recording.bag_writer import BagWriter
from trajforecast_ros.recording.recording import Recording

STAMP = 3_000_000_000
PICTURE = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)


def forecast_messages(compute_time: float) -> tuple[PredictedTracks, TrackSummary]:
    """Of the same images as every other; the tracks lie at the compute time."""
    tracks = np.full((1, 2, 3, 4, 4, 2), compute_time, np.float32)
    forecast = Forecast(views=("side",), tracks=tracks, visibility=None, steps=1, seed=0, dt=0.05)
    circumstances = Circumstances([Source("side", header("side", 3), 8, 8)], "go", "model", compute_time)
    return tracks_message(forecast, circumstances), summary_message(forecast, circumstances)


def of_forecast(tracks: PredictedTracks, summary: TrackSummary, time: int) -> list:
    return [
        received("/predicted_tracks", tracks, time),
        received("/predicted_tracks/summary", summary, time),
    ]


@pytest.fixture
def bag(tmp_path) -> BagWriter:
    return BagWriter(tmp_path / "bag")


@pytest.fixture
def recording(tmp_path) -> Recording:
    return Recording(tmp_path / "bag")


def test_images_and_forecasts_come_back_as_they_were_while_the_bag_grows(bag, recording):
    recording.update()
    assert not recording.image_stamps("side") and not recording.forecast_stamps()
    image = to_message(PICTURE, header("side", 3))
    bag.write([received("/forecast_node/instruction", String(data="go"), 1), received("/side/image_raw", image, 10)])
    recording.update()
    assert recording.image_stamps("side") == [STAMP]
    assert np.array_equal(recording.image("side", STAMP), PICTURE)

    bag.write(of_forecast(*forecast_messages(0.5), time=750_000_010))
    recording.update()
    assert recording.forecast_stamps() == [STAMP]
    forecast = recording.forecast(STAMP)
    assert (forecast.views, forecast.instruction, forecast.compute_time) == (("side",), "go", 0.5)
    assert (forecast.tracks == 0.5).all() and forecast.tracks.shape == (1, 2, 3, 4, 4, 2)
    assert forecast.latency == pytest.approx(0.75)

    bag.close()
    recording.update()
    assert recording.forecast_stamps() == [STAMP]


def test_two_forecasts_of_the_same_images_are_not_mixed(bag, recording):
    (tracks, summary), (tracks_again, summary_again) = forecast_messages(1.0), forecast_messages(2.0)
    # The summary of the first may come after the tracks of the second: DDS keeps no order among topics.
    bag.write([*of_forecast(tracks, summary_again, 5), *of_forecast(tracks_again, summary, 6)])
    recording.update()
    forecast = recording.forecast(STAMP)

    assert (forecast.compute_time, forecast.tracks.max(), forecast.mean_t.max()) == (1.0, 1.0, 1.0)


def test_a_forecast_counts_when_its_tracks_and_its_summary_are_there(bag, recording):
    tracks, summary = forecast_messages(1.0)
    bag.write([received("/predicted_tracks/summary", summary)])
    recording.update()
    assert not recording.forecast_stamps()
    bag.write([received("/predicted_tracks", tracks)])
    recording.update()
    assert recording.forecast_stamps() == [STAMP]


def test_images_without_a_stamp_do_not_take_each_others_place(bag, recording):
    images = [received("/side/image_raw", to_message(PICTURE, Header()), time) for time in (5, 7, 9)]
    bag.write(images)
    recording.update()

    assert recording.image_stamps("side") == [5, 7, 9]
