"""Image tokens of a batch: computed in the step, or read from a cache that a frozen encoder filled before the first one."""

import hashlib

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm import tqdm

from trajforecast_model.config import to_dict
from trajforecast_model.data.feature_cache import FeatureCache, WindowsWithFeatures
from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.networks.image_encoder import standardise
from trajforecast_model.training.batches import Batch
from trajforecast_model.training.distributed import World


def image_tokens(batch: Batch, encoder: nn.Module) -> Tensor:
    """[B, M, D], those that came with the batch if any did."""
    if batch.image_tokens is not None:
        return batch.image_tokens.float()
    return encoder(standardise(batch.images, encoder.config.input_size))


def with_cached_tokens(windows: ShardDataset, encoder: nn.Module | None, folder: str, world: World) -> Dataset:
    """The windows with their image tokens from `folder`, where those that it lacks are written first.

    Called on every rank, each of which does its share.

    Raises:
        ValueError: where there is no encoder or it is trained, or the folder holds tokens of another one.
    """
    if encoder is None or any(parameter.requires_grad for parameter in encoder.parameters()):
        raise ValueError(
            f"data.feature_cache: {folder} is for the features of a frozen image encoder, and this run "
            f"{'has no image encoder' if encoder is None else 'trains its image encoder'}; set data.feature_cache to null"
        )
    encoder.eval()
    cache = FeatureCache(folder, _identity(encoder))

    @torch.no_grad()
    def encode(images: np.ndarray) -> np.ndarray:
        batch = torch.from_numpy(images).to(world.device)
        return encoder(standardise(batch, encoder.config.input_size)).float().cpu().numpy()

    share = windows.shards[world.rank :: world.size]
    cache.fill(tqdm(share, desc="image features", unit="demo", disable=not world.is_first), encode)
    world.any(False)  # the shares of the others are there, too
    if missing := [shard.name for shard in windows.shards if not cache.holds(shard)]:
        raise ValueError(
            f"data.feature_cache: {folder} lacks {len(missing)} files that other ranks wrote, say {missing[0]}; on "
            "several nodes it must be on a disk that all share"
        )
    return WindowsWithFeatures(windows, cache)


def _identity(encoder: nn.Module) -> dict:
    """Of the same weights from another folder or the hub, the same."""
    weights = hashlib.sha256()
    for name, tensor in sorted(encoder.state_dict().items()):
        weights.update(name.encode())
        weights.update(tensor.detach().float().cpu().numpy().tobytes())
    config = to_dict(encoder.config)
    del config["source"]
    return config | {"weights": weights.hexdigest()[:16]}
