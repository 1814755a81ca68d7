import subprocess
import sys
import time

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header
from trajforecast_msgs.msg import PredictedTracks, TrackSummary
from trajforecast_msgs.srv import Predict

from trajforecast_model.forecaster import Forecast
from trajforecast_ros.messages import Circumstances, Source, read_summary, read_tracks, summary_message, tracks_message
from trajforecast_ros.reduction import Reduction

VIEWS, SAMPLES, STEPS, ROWS, COLUMNS = 2, 3, 4, 5, 6


def header(seconds: int, frame: str) -> Header:
    message = Header(frame_id=frame)
    message.stamp.sec = seconds
    message.stamp.nanosec = 250_000_000
    return message


def forecast(visibility: bool = False, dtype=np.float32) -> Forecast:
    random = np.random.default_rng(0)
    shape = (VIEWS, SAMPLES, STEPS, ROWS, COLUMNS)
    tracks = random.normal(size=(*shape, 2)).astype(dtype)
    # In the middle of the others, so the medoids.
    tracks[0, 2], tracks[1, 0] = tracks[0].mean(axis=0), tracks[1].mean(axis=0)
    return Forecast(
        views=("side", "effector"),
        tracks=tracks,
        visibility=random.random(shape).astype(dtype) if visibility else None,
        steps=9,
        seed=11,
        dt=0.05,
    )


CIRCUMSTANCES = Circumstances(
    sources=[
        Source("side", header(7, "side_camera"), width=640, height=480),
        Source("effector", header(8, "hand_camera"), width=128, height=96),
    ],
    instruction="pick up the milk",
    model_id="some model",
    compute_time=0.5,
)


def over_the_wire(message):
    return deserialize_message(serialize_message(message), type(message))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_tracks_come_back_as_they_were(dtype):
    made = forecast(visibility=True, dtype=dtype)
    arrays = read_tracks(over_the_wire(tracks_message(made, CIRCUMSTANCES)))

    assert arrays.tracks.shape == (VIEWS, SAMPLES, STEPS, ROWS, COLUMNS, 2)
    assert np.array_equal(arrays.tracks, made.tracks.astype(np.float32))
    assert np.array_equal(arrays.visibility, made.visibility.astype(np.float32))
    assert arrays.views == ("side", "effector")
    assert arrays.image_sizes == ((480, 640), (96, 128))
    assert (arrays.stamp, arrays.dt) == (8.25, 0.05)


def test_summary_comes_back_as_it_was():
    made = forecast()
    arrays = read_summary(over_the_wire(summary_message(made, CIRCUMSTANCES)))

    assert np.array_equal(arrays.mean_t, made.mean_track)
    assert np.array_equal(arrays.min, [made.tracks[0, 2], made.tracks[1, 0]])
    assert arrays.min_index.tolist() == [2, 0]
    assert np.array_equal(arrays.spread, made.spread)


@pytest.mark.parametrize("make", [tracks_message, summary_message])
def test_messages_tell_where_they_come_from(make):
    message = over_the_wire(make(forecast(), CIRCUMSTANCES))

    assert message.header == CIRCUMSTANCES.sources[1].header, "the newest image's header"
    assert [view.name for view in message.views] == ["side", "effector"]
    assert [view.header.frame_id for view in message.views] == ["side_camera", "hand_camera"]
    assert (message.instruction, message.model_id, message.seed) == ("pick up the milk", "some model", 11)
    assert (message.num_samples, message.num_steps, message.grid_height, message.grid_width) == (3, 4, 5, 6)
    assert (message.num_samples_made, message.history_frames) == (3, 0)


@pytest.mark.parametrize("kind", [PredictedTracks, TrackSummary, Predict.Request])
def test_a_seed_is_the_same_kind_of_number_everywhere(kind):
    assert kind.get_fields_and_field_types()["seed"] == "int64"


def test_confidence_comes_as_it_was_made():
    made = forecast()
    tracks = read_tracks(over_the_wire(tracks_message(made, CIRCUMSTANCES)))
    summary = read_summary(over_the_wire(summary_message(made, CIRCUMSTANCES)))

    assert np.array_equal(tracks.confidence, made.confidence.astype(np.float32))
    assert np.array_equal(summary.confidence, tracks.confidence)
    np.testing.assert_allclose(tracks.confidence.sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize(("make", "read"), [(tracks_message, read_tracks), (summary_message, read_summary)])
def test_a_message_of_who_says_no_confidence_is_read(make, read):
    message = make(forecast(), CIRCUMSTANCES)
    message.confidence = []

    assert read(message).confidence is None


def test_no_visibility_is_an_empty_array():
    message = tracks_message(forecast(visibility=False), CIRCUMSTANCES)

    assert len(message.visibility) == 0
    assert read_tracks(message).visibility is None


def test_last_axis_is_x_then_y_and_varies_fastest():
    message = tracks_message(forecast(), CIRCUMSTANCES)

    assert list(message.tracks[:2]) == forecast().tracks[0, 0, 0, 0, 0].tolist()


@pytest.mark.parametrize(("read", "message"), [(read_tracks, PredictedTracks()), (read_summary, TrackSummary())])
def test_arrays_of_another_size_than_announced_are_refused(read, message):
    message.num_steps = 3
    name = "tracks" if read is read_tracks else "mean_t"
    getattr(message, name).frombytes(np.zeros(5, np.float32).tobytes())

    with pytest.raises(ValueError, match="got 5"):
        read(message)


@pytest.mark.parametrize(
    ("reduction", "samples", "grid"),
    [
        (Reduction(stride=2), SAMPLES, (3, 3)),
        (Reduction(max_samples=1), 1, (ROWS, COLUMNS)),
        (Reduction(stride=5, points=((0.5, 0.5), (0.1, 0.9))), SAMPLES, (1, 2)),
    ],
)
def test_reduced_messages_announce_what_they_hold(reduction, samples, grid):
    made = forecast(visibility=True)
    tracks = read_tracks(over_the_wire(tracks_message(made, CIRCUMSTANCES, reduction)))
    summary = read_summary(over_the_wire(summary_message(made, CIRCUMSTANCES, reduction)))

    assert tracks.tracks.shape == (VIEWS, samples, STEPS, *grid, 2)
    assert tracks.visibility.shape == (VIEWS, samples, STEPS, *grid)
    assert summary.mean_t.shape == summary.min.shape == (VIEWS, STEPS, *grid, 2)
    assert summary.spread.shape == (VIEWS, STEPS, *grid)
    assert summary.min_index.tolist() == [2, 0], "of all samples"
    assert tracks.confidence.shape == (VIEWS, samples)
    assert summary.confidence.shape == (VIEWS, SAMPLES), "of all samples"
    assert summary_message(made, CIRCUMSTANCES, reduction).num_samples == SAMPLES
    assert tracks_message(made, CIRCUMSTANCES, reduction).num_samples_made == SAMPLES


def test_tracks_are_selected_by_the_names_of_their_axes():
    made = forecast()
    arrays = read_tracks(tracks_message(made, CIRCUMSTANCES))

    assert np.array_equal(arrays.sel(), made.tracks)
    assert np.array_equal(arrays.sel(view="effector", step=-1), made.tracks[1, :, -1])
    assert np.array_equal(arrays.sel(view=0, sample=slice(1, 3), xy=1), made.tracks[0, 1:3, ..., 1])
    assert np.array_equal(arrays.sel(row=2, column=3), made.tracks[:, :, :, 2, 3])


def test_tracks_at_a_pixel_are_those_of_the_nearest_point_now():
    made = forecast()
    arrays = read_tracks(tracks_message(made, CIRCUMSTANCES))
    now = made.tracks[1, :, 0].mean(axis=0)

    assert np.array_equal(arrays.at("effector", now[3, 4] + 1e-4), made.tracks[1, :, :, 3, 4])


@pytest.mark.parametrize(
    ("select", "complaint"),
    [
        (lambda arrays: arrays.sel(view="wrist"), "'wrist'.*side, effector"),
        (lambda arrays: arrays.at("wrist", (0, 0)), "'wrist'.*side, effector"),
        (lambda arrays: arrays.sel(rows=1), "'rows'.*view, sample, step, row, column, xy"),
    ],
)
def test_names_that_are_not_in_a_message_are_refused(select, complaint):
    with pytest.raises(ValueError, match=complaint):
        select(read_tracks(tracks_message(forecast(), CIRCUMSTANCES)))


def test_reading_forecasts_does_not_load_the_model():
    """A policy process needs no PyTorch."""
    code = "import sys, trajforecast_ros.messages; print([name for name in ('torch', 'cv2') if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "[]"


def test_arrays_are_lent_to_messages():
    made = forecast()

    assert np.shares_memory(read_tracks(tracks_message(made, CIRCUMSTANCES)).tracks, made.tracks)
    assert np.shares_memory(read_summary(summary_message(made, CIRCUMSTANCES)).mean_t, made.mean_track)


def test_messages_are_made_without_touching_each_number():
    tracks = np.zeros((2, 4, 16, 32, 32, 2), dtype=np.float32)
    made = Forecast(("side", "effector"), tracks, None, 9, 0, 0.05)

    def least_time(make) -> float:
        times = []
        for _ in range(5):
            started = time.perf_counter()
            make()
            times.append(time.perf_counter() - started)
        return min(times)

    def number_by_number():
        PredictedTracks().tracks.extend(tracks.ravel().tolist())

    assert least_time(lambda: tracks_message(made, CIRCUMSTANCES)) < least_time(number_by_number) / 3
