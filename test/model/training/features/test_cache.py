"""Features beside shards: whole, once an image, and never those of another encoder or of other data."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from synthetic_shards import write_synthetic_data

from trajforecast_model.data.shards import ShardDataset, read_images
from trajforecast_model.files.arrow_files import open_rows, write_rows
from trajforecast_model.training.features import cache as feature_cache
from trajforecast_model.training.features.cache import FeatureCache, WindowsWithFeatures

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


def made(shard: Path) -> dict[str, np.ndarray]:
    images = read_images(shard)
    return {"image_tokens": corner_means(images), "moving": images[..., 0] > 100}


def cache_of(folder: Path, encoder: dict = ENCODER) -> FeatureCache:
    return FeatureCache(folder, "data.feature_cache", "image features", encoder)


@pytest.fixture
def cache(windows, tmp_path) -> FeatureCache:
    cache = cache_of(tmp_path / "features")
    cache.fill(windows.shards, made)
    return cache


def test_every_window_gets_the_tokens_of_its_image(windows, cache):
    with_features = pickle.loads(pickle.dumps(WindowsWithFeatures(windows, [cache])))  # as loader processes get it
    assert len(with_features) == len(windows) == 6
    for index in (5, 0, 3, 1, 4, 2):
        window = with_features[index]
        np.testing.assert_array_equal(window.image, windows[index].image)
        assert window.image_tokens.dtype == np.float16
        np.testing.assert_array_equal(window.image_tokens, corner_means(window.image[None])[0].astype(np.float16))
        assert window.moving.dtype == bool and window.moving.any() and not window.moving.all()
        np.testing.assert_array_equal(window.moving, window.image[..., 0] > 100)


def test_images_of_a_shard_are_those_of_its_windows(windows):
    images = np.concatenate([read_images(shard) for shard in windows.shards])
    np.testing.assert_array_equal(images, np.stack([window.image for window in windows]))


def test_a_shard_is_encoded_once(windows, cache):
    seen = []

    def counting(shard: Path) -> dict[str, np.ndarray]:
        seen.append(shard)
        return made(shard)

    cache.fill(windows.shards, counting)
    assert not seen
    cache._path(windows.shards[1]).unlink()
    cache.fill(windows.shards, counting)
    assert seen == [windows.shards[1]]


def test_what_was_being_written_when_it_failed_does_not_count(windows, tmp_path, monkeypatch):
    shards = iter([None])

    def until_the_disk_is_full(path, schema, rows, compression):
        def until_then():
            yield next(rows)
            if next(shards, "full") == "full":
                raise OSError(28, "No space left on device")
            yield from rows

        write_rows(path, schema, until_then(), compression)

    monkeypatch.setattr(feature_cache, "write_rows", until_the_disk_is_full)
    cache = cache_of(tmp_path / "features")
    with pytest.raises(OSError, match="No space left"):
        cache.fill(windows.shards, made)
    assert [cache.holds(shard) for shard in windows.shards] == [True, False, False]
    assert len(list((tmp_path / "features" / "train").iterdir())) == 1


def test_features_of_another_encoder_are_refused(windows, cache, tmp_path):
    other = cache_of(tmp_path / "features", ENCODER | {"weights": "4567"})
    with pytest.raises(ValueError, match=r"discs__demo_0000\.arrow .*weights '0123' there, '4567' here"):
        other.fill(windows.shards, made)


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
        cache_of(tmp_path / "features").fill(
            windows.shards, lambda shard: {"image_tokens": corner_means(read_images(shard)) * 1e4}
        )
    assert not list((tmp_path / "features").rglob("*.arrow"))
