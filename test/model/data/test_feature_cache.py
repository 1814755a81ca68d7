"""Features beside shards: whole, once an image, and never those of another encoder or of other data."""

import pickle

import numpy as np
import pyarrow as pa
import pytest
from synthetic_shards import write_synthetic_data

from trajforecast_model.data import feature_cache
from trajforecast_model.data.arrow_files import open_rows
from trajforecast_model.data.feature_cache import FeatureCache, WindowsWithFeatures
from trajforecast_model.data.shards import ShardDataset, read_images

ENCODER = {"kind": "means", "weights": "0123"}


def corner_means(images: np.ndarray) -> np.ndarray:
    """[N, H, W, 3] -> [N, 4, 3]: an encoder with a token a quarter of the image."""
    height, width = images.shape[1] // 2, images.shape[2] // 2
    quarters = [images[:, y : y + height, x : x + width] for y in (0, height) for x in (0, width)]
    return np.stack([quarter.mean((1, 2)) for quarter in quarters], axis=1)


@pytest.fixture
def windows(tmp_path) -> ShardDataset:
    write_synthetic_data(tmp_path / "data", train=3, val=1)
    return ShardDataset(tmp_path / "data")


@pytest.fixture
def cache(windows, tmp_path) -> FeatureCache:
    cache = FeatureCache(tmp_path / "features", ENCODER)
    cache.fill(windows.shards, corner_means)
    return cache


def test_every_window_gets_the_tokens_of_its_image(windows, cache):
    with_features = pickle.loads(pickle.dumps(WindowsWithFeatures(windows, cache)))  # as loader processes get it
    assert len(with_features) == len(windows) == 6
    for index in (5, 0, 3, 1, 4, 2):
        window = with_features[index]
        np.testing.assert_array_equal(window.image, windows[index].image)
        assert window.image_tokens.dtype == np.float16
        np.testing.assert_array_equal(window.image_tokens, corner_means(window.image[None])[0].astype(np.float16))


def test_images_of_a_shard_are_those_of_its_windows(windows):
    images = np.concatenate([read_images(shard) for shard in windows.shards])
    np.testing.assert_array_equal(images, np.stack([window.image for window in windows]))


def test_an_image_is_encoded_once(windows, cache, monkeypatch):
    seen = []
    monkeypatch.setattr(feature_cache, "IMAGES_AT_ONCE", 1)

    def counting(images: np.ndarray) -> np.ndarray:
        seen.extend(images)
        return corner_means(images)

    cache.fill(windows.shards, counting)
    assert not seen
    cache._path(windows.shards[1]).unlink()
    cache.fill(windows.shards, counting)
    np.testing.assert_array_equal(seen, read_images(windows.shards[1]))


def test_what_was_being_written_when_it_failed_does_not_count(windows, tmp_path, monkeypatch):
    rows = iter([None, None, None])  # a shard has two

    def until_the_disk_is_full(*arguments, **keywords):
        if next(rows, "full") == "full":
            raise OSError(28, "No space left on device")
        return record_batch(*arguments, **keywords)

    record_batch = pa.record_batch
    monkeypatch.setattr(pa, "record_batch", until_the_disk_is_full)
    cache = FeatureCache(tmp_path / "features", ENCODER)
    with pytest.raises(OSError, match="No space left"):
        cache.fill(windows.shards, corner_means)
    assert [cache.holds(shard) for shard in windows.shards] == [True, False, False]
    assert len(list((tmp_path / "features" / "train").iterdir())) == 1


def test_features_of_another_encoder_are_refused(windows, cache, tmp_path):
    other = FeatureCache(tmp_path / "features", ENCODER | {"weights": "4567"})
    with pytest.raises(ValueError, match=r"discs__demo_0000\.arrow .*weights '0123' there, '4567' here"):
        other.fill(windows.shards, corner_means)


def test_features_of_other_images_are_refused(windows, cache, tmp_path):
    write_synthetic_data(tmp_path / "data", train=2, val=1)  # the same windows of the first demo
    shard = windows.shards[0]
    assert cache.holds(shard)
    write_synthetic_data(tmp_path / "other", train=1, val=1)
    shard.write_bytes((tmp_path / "other" / "val" / "discs__demo_0001.arrow").read_bytes())
    with pytest.raises(ValueError, match=r"discs__demo_0000\.arrow .*shard '"):
        cache.holds(shard)


def test_a_damaged_file_is_named(windows, cache):
    path = cache._path(windows.shards[2])
    path.write_bytes(path.read_bytes()[:100])
    open_rows.cache_clear()
    with pytest.raises(ValueError, match=r"discs__demo_0002\.arrow is damaged"):
        cache.holds(windows.shards[2])


def test_what_half_precision_does_not_hold_is_refused(windows, tmp_path):
    with pytest.raises(ValueError, match="not finite in float16"):
        FeatureCache(tmp_path / "features", ENCODER).fill(windows.shards, lambda images: corner_means(images) * 1e4)
    assert not list((tmp_path / "features").rglob("*.arrow"))
