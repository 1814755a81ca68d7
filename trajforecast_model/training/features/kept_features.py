"""The training windows, with what frozen networks make of them where the config names a folder to keep it in."""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch
from torch import nn
from torch.utils.data import Dataset
from tqdm import tqdm

from trajforecast_model.data.shards import ShardDataset, Window, read_images
from trajforecast_model.data.windows import Anchor
from trajforecast_model.files.config import to_dict
from trajforecast_model.networks.image_encoder import standardise
from trajforecast_model.training.batches import collate
from trajforecast_model.training.configs import DataConfig
from trajforecast_model.training.distributed import World
from trajforecast_model.training.features.cache import FeatureCache, Features, WindowsWithFeatures
from trajforecast_model.training.features.frozen import is_frozen, weights_digest
from trajforecast_model.training.features.image_tokens import image_tokens
from trajforecast_model.training.stages.flow_matching import LatentSpace

_AT_ONCE = 64  # windows of a demo


class FrozenNetworks(Protocol):
    """What of a stage may be kept."""

    image_encoder: nn.Module | None  # part of the stage's model; its tokens may be kept once it is frozen
    latent_space: LatentSpace | None  # of a frozen VAE's latents


def training_windows(
    data: DataConfig,
    networks: FrozenNetworks,
    world: World,
    history: bool = False,
    anchors: tuple[Anchor, ...] = ("present",),
) -> Dataset:
    """The windows of the training split; what `data.feature_cache` and `data.latent_cache` lack is written first.

    Called on every rank, each of which does its share.

    Args:
        history: whether the windows' past is read, where the data has one.
        anchors: see `ShardDataset`.

    Raises:
        ValueError: where there is nothing frozen to keep, or a folder holds what others made.
    """
    windows = ShardDataset(data.folder, "train", history=history, history_pictures=False, anchors=anchors)
    caches: list[FeatureCache] = []
    if data.feature_cache is not None:
        caches.append(_token_cache(data.feature_cache, windows, networks.image_encoder, world))
    if data.latent_cache is not None:
        with_tokens = WindowsWithFeatures(windows, list(caches))
        caches.append(_latent_cache(data.latent_cache, windows, with_tokens, networks, world))
        windows = ShardDataset(
            data.folder, "train", tracks=False, history=history, history_pictures=False, anchors=anchors
        )  # the latents stand for them
    return WindowsWithFeatures(windows, caches) if caches else windows


def _token_cache(folder: str, windows: ShardDataset, encoder: nn.Module | None, world: World) -> FeatureCache:
    if encoder is None or not is_frozen(encoder):
        raise ValueError(
            f"data.feature_cache: {folder} is for the features of a frozen image encoder, and this run "
            f"{'has no image encoder' if encoder is None else 'trains its image encoder'}; set data.feature_cache to null"
        )
    encoder.eval()
    cache = FeatureCache(folder, "data.feature_cache", "image features", _identity(encoder))

    @torch.no_grad()
    def make(shard: Path) -> Features:
        images = read_images(shard)
        parts = (torch.from_numpy(images[start : start + _AT_ONCE]) for start in range(0, len(images), _AT_ONCE))
        tokens = [encoder(standardise(part.to(world.device), encoder.config.input_size)).float() for part in parts]
        return {"image_tokens": torch.cat(tokens).cpu().numpy()}

    row_bytes = 2 * encoder.config.grid[0] * encoder.config.grid[1] * encoder.config.dim  # float16
    _fill(cache, windows, row_bytes, make, world)
    return cache


def _latent_cache(
    folder: str, windows: ShardDataset, with_tokens: Dataset, networks: FrozenNetworks, world: World
) -> FeatureCache:
    if networks.latent_space is None:
        raise ValueError(
            f"data.latent_cache: {folder} is for the latents of a frozen VAE, and this run encodes no tracks with one; "
            "set data.latent_cache to null"
        )
    cache = latent_cache(folder, networks)
    rows_of_shard: dict[Path, list[int]] = {}
    for index in range(len(windows)):
        rows_of_shard.setdefault(windows.place(index)[0], []).append(index)

    def make(shard: Path) -> Features:
        return kept_latents((with_tokens[index] for index in rows_of_shard[shard]), networks, world.device)

    vae = networks.latent_space.vae.config
    row_bytes = 2 * 2 * vae.latent_frames * vae.latent_channels * math.prod(vae.latent_grid)  # mean, deviation; float16
    _fill(cache, windows, row_bytes + math.prod(windows.info.grid) // 8, make, world)
    return cache


def latent_cache(folder: str | Path, networks: FrozenNetworks, compression: pa.Codec | None = None) -> FeatureCache:
    """The cache that tells these networks' latents from others. Reading is quickest without compression."""
    space = networks.latent_space
    identity = {f"vae_{name}": value for name, value in _identity(space.vae).items()}
    identity["latent_std"] = list(space.std)
    if space.vae.config.image_conditioned:
        identity |= {f"image_encoder_{name}": value for name, value in _identity(networks.image_encoder).items()}
    return FeatureCache(folder, "data.latent_cache", "latents", identity, compression)


@torch.no_grad()
def kept_latents(windows: Iterable[Window], networks: FrozenNetworks, device: torch.device) -> Features:
    """What a latent cache keeps of windows with tracks, [N, ...] each."""
    space, parts, windows = networks.latent_space, [], iter(windows)
    while some := list(itertools.islice(windows, _AT_ONCE)):
        batch = collate(some).to(device)
        tokens = image_tokens(batch, networks.image_encoder) if space.vae.config.image_conditioned else None
        parts.append({"latents": space.posterior(batch, tokens), "moving": batch.moving_points()})
    return {name: np.concatenate([part[name].cpu().numpy() for part in parts]) for name in parts[0]}


def _fill(
    cache: FeatureCache, windows: ShardDataset, row_bytes: int, make: Callable[[Path], Features], world: World
) -> None:
    cache.check_room(Counter(windows.place(index)[0] for index in range(len(windows))), row_bytes)
    share = windows.shards[world.rank :: world.size]
    cache.fill(tqdm(share, desc=cache.content, unit="demo", disable=not world.is_first), make)
    world.any(False)  # the shares of the others are there, too
    if missing := [shard.name for shard in windows.shards if not cache.holds(shard)]:
        raise ValueError(
            f"{cache.key}: {cache.folder} lacks {len(missing)} files that other ranks wrote, say {missing[0]}; on "
            "several nodes it must be on a disk that all share"
        )


def _identity(network: nn.Module) -> dict[str, Any]:
    """Of the same weights from another folder or the hub, the same."""
    config = to_dict(network.config)
    config.pop("source", None)
    return config | {"weights": weights_digest(network)}
