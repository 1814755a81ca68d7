import dataclasses

import numpy as np
import pytest

from trajforecast_ros.recording.folder import RecordedForecast, Recording


def forecast(stamp: int = 5) -> RecordedForecast:
    random = np.random.default_rng(stamp)
    return RecordedForecast(
        stamp=stamp,
        views=("side", "effector"),
        tracks=random.normal(size=(2, 3, 4, 5, 6, 2)).astype(np.float32),
        mean_t=random.normal(size=(2, 4, 5, 6, 2)).astype(np.float32),
        min=random.normal(size=(2, 4, 5, 6, 2)).astype(np.float32),
        instruction="pick up the milk",
        model_id="some model",
        compute_time=0.5,
        latency=0.75,
    )


def test_forecasts_come_back_as_they_were(tmp_path):
    recording = Recording(tmp_path)
    written = forecast()
    recording.write_forecast(written)
    read = recording.forecast(written.stamp)

    for field in dataclasses.fields(RecordedForecast):
        assert np.array_equal(getattr(read, field.name), getattr(written, field.name)), field.name
    assert read.views == ("side", "effector")


def test_images_come_back_as_they_were(tmp_path):
    recording = Recording(tmp_path)
    rgb = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    recording.write_image("side", 12, rgb)

    assert np.array_equal(recording.image("side", 12), rgb)


def test_stamps_are_sorted_as_numbers_and_by_view(tmp_path):
    recording = Recording(tmp_path)
    rgb = np.zeros((2, 2, 3), np.uint8)
    for stamp in (100, 9, 20):
        recording.write_image("side", stamp, rgb)
        recording.write_forecast(forecast(stamp))
    recording.write_image("effector", 7, rgb)

    assert recording.image_stamps("side") == recording.forecast_stamps() == [9, 20, 100]
    assert recording.image_stamps("effector") == [7]
    assert not list(tmp_path.glob("*.tmp")), "nothing half-written stays"


def test_a_second_forecast_of_the_same_images_is_kept_beside_the_first(tmp_path):
    recording = Recording(tmp_path)
    recording.write_forecast(forecast(5))
    for seconds in (1.5, 2.5):
        recording.write_forecast(dataclasses.replace(forecast(5), compute_time=seconds))

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "forecast_5.npz",
        "forecast_5_again2.npz",
        "forecast_5_again3.npz",
    ]
    assert recording.forecast_stamps() == [5]
    assert recording.forecast(5).compute_time == 0.5


@pytest.mark.parametrize("data", [b"", b"not an archive"])
def test_broken_files_are_named(tmp_path, data):
    recording = Recording(tmp_path)
    (tmp_path / "forecast_1.npz").write_bytes(data)
    (tmp_path / "image_side_1.png").write_bytes(data)

    with pytest.raises(ValueError, match=r"forecast_1\.npz"):
        recording.forecast(1)
    with pytest.raises(ValueError, match=r"image_side_1\.png"):
        recording.image("side", 1)
