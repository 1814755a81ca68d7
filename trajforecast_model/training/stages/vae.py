"""Training of the track VAE (WHN section 3.2): Huber loss of the tracks, heavier on what moves, and a small KL term."""

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from trajforecast_model.checkpoint import export_within, load_config, load_weights, save_weights
from trajforecast_model.data.shards import DatasetInfo, ShardDataset
from trajforecast_model.files.atomic import write_atomically
from trajforecast_model.files.config import from_dict, to_dict
from trajforecast_model.files.json_files import read_object
from trajforecast_model.networks.image_encoder import ImageEncoderConfig, build_image_encoder
from trajforecast_model.networks.track_vae import TrackVAE, TrackVAEConfig
from trajforecast_model.tracks.grid import denormalise, normalise
from trajforecast_model.training.batches import Batch, collate, spread_evenly
from trajforecast_model.training.configs import VAETrainConfig
from trajforecast_model.training.distributed import World
from trajforecast_model.training.features.frozen import is_frozen
from trajforecast_model.training.features.image_tokens import image_tokens
from trajforecast_model.training.noise import WindowNoise
from trajforecast_model.training.stages.loss_weights import place_weights

CONFIG_FILE = "vae.json"
_STATISTICS_WINDOWS = 2048  # of the training split, for the standard deviation of the latents


@dataclass(frozen=True)
class TrainedVAEConfig:
    vae: TrackVAEConfig
    latent_std: tuple[float, ...]
    image_encoder: ImageEncoderConfig | None  # the encoder whose tokens an image-conditioned VAE was trained with
    dt: float | None = None  # seconds between the frames of its data; null in checkpoints of older versions


class VAEWithEncoder(nn.Module):
    """The VAE and, where it looks at the image, the encoder that is trained along (or frozen DINOv2)."""

    def __init__(self, config: TrainedVAEConfig):
        super().__init__()
        self.vae = TrackVAE(config.vae)
        self.image_encoder = None if config.image_encoder is None else build_image_encoder(config.image_encoder)

    def image_tokens(self, batch: Batch) -> Tensor | None:
        """[B, M, D], or None for a VAE that does not look at the image."""
        return None if self.image_encoder is None else image_tokens(batch, self.image_encoder)


class VAEStage:
    latent_space = None  # its own VAE is being trained
    reads_instructions = False
    reads_history = False

    def __init__(self, config: VAETrainConfig):
        self.config = config
        encoder = config.image_encoder if config.vae.image_conditioned else None
        self.validation = ShardDataset(config.data.folder, "val")
        latent_std = (1.0,) * config.vae.latent_channels
        self.trained = TrainedVAEConfig(config.vae, latent_std, encoder, self.validation.info.dt)
        check_vae_fits(config.vae, self.validation.info, encoder)
        torch.manual_seed(config.optimisation.seed)
        self.model = VAEWithEncoder(self.trained)
        if config.start_from is not None:
            self._load_start(Path(export_within(config.start_from)))
        self.image_encoder = self.model.image_encoder

    @property
    def frozen_networks(self) -> dict[str, nn.Module]:
        encoder = self.image_encoder
        return {"image encoder": encoder} if encoder is not None and is_frozen(encoder) else {}

    def mean_weight(self, batch: Batch) -> Tensor:
        return self._weight(batch).mean()

    def loss(
        self, model: VAEWithEncoder, batch: Batch, noise: WindowNoise, mean_weight: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        config = self.config
        tracks = normalise(batch.tracks, config.vae.image_size).movedim(-1, 2)  # [B, T, 2, H, W]
        tokens = model.image_tokens(batch)
        mean, std = model.vae.encode(tracks, tokens)
        decoded = model.vae.decode(mean + std * noise.normal(*mean.shape[1:]), tokens)
        mean, std = mean.float(), std.float()
        scale = config.vae.offset_scale or 1.0
        error = F.huber_loss(decoded * scale, tracks * scale, delta=config.huber_delta, reduction="none")
        reconstruction = (error * self._weight(batch)[:, None, None]).mean() / mean_weight
        kl = 0.5 * (mean**2 + std**2 - 1 - 2 * std.log()).mean()
        return reconstruction + config.kl_weight * kl, {"reconstruction": reconstruction.detach(), "kl": kl.detach()}

    def compile(self, model: VAEWithEncoder) -> None:
        model.vae.encode = torch.compile(model.vae.encode)
        model.vae.decode = torch.compile(model.vae.decode)

    @torch.no_grad()
    def validate(self, model: VAEWithEncoder, world: World, windows: int | None = None) -> dict[str, float]:
        """Squared reconstruction error of moving points, px^2 summed over x and y, beside nothing moves."""
        size = self.config.vae.image_size
        chosen = spread_evenly(len(self.validation), windows or self.config.logging.validation_windows)
        error = still = count = 0
        for batch in _loader(self.validation, chosen[world.rank :: world.size]):
            batch = batch.to(world.device)
            tokens = model.image_tokens(batch)
            mean, _ = model.vae.encode(normalise(batch.tracks, size).movedim(-1, 2), tokens)
            decoded = denormalise(model.vae.decode(mean, tokens).movedim(2, -1), size)
            moving = batch.moving_points()
            error += _squared_error(decoded, batch.tracks)[moving].double().sum().item()
            still += _squared_error(batch.tracks[:, :1], batch.tracks)[moving].double().sum().item()
            count += int(moving.sum())
        return world.means({"moving_points_px2": (error, count), "nothing_moves_px2": (still, count)})

    def score(self, figures: dict[str, float]) -> float:
        return figures.get("moving_points_px2", math.inf)

    def exported(self, model: VAEWithEncoder) -> dict[str, nn.Module]:
        return trained_networks(self.trained, model)

    @torch.no_grad()
    def export(self, model: VAEWithEncoder, folder: Path) -> None:
        save_trained_vae(replace(self.trained, latent_std=self._latent_std(model)), model, folder)

    def _load_start(self, folder: Path) -> None:
        start = load_config(folder)
        if start.vae != self.config.vae:
            raise ValueError(
                f"start_from: the VAE of {folder} is not that of this config; it is {start.vae} there, {self.config.vae} here"
            )
        load_weights(self.model.vae, folder / "vae.safetensors")
        if (encoder := self.trained.image_encoder) is not None and encoder.kind == "patch":
            load_weights(self.model.image_encoder, folder / "image_encoder.safetensors")

    def _latent_std(self, model: VAEWithEncoder) -> tuple[float, ...]:
        """Of each channel, over windows spread evenly over the training split."""
        device = model.vae.anchors.device
        training = ShardDataset(self.config.data.folder, "train")
        latents = []
        for batch in _loader(training, spread_evenly(len(training), _STATISTICS_WINDOWS)):
            batch = batch.to(device)
            tracks = normalise(batch.tracks, self.config.vae.image_size).movedim(-1, 2)
            mean, std = model.vae.encode(tracks, model.image_tokens(batch))
            generator = torch.Generator().manual_seed(0)
            latents.append((mean + std * torch.randn(mean.shape, generator=generator).to(device)).flatten(0, 2).cpu())
        return tuple(torch.cat(latents).std(0).tolist())

    def _weight(self, batch: Batch) -> Tensor:
        """[B, H, W]: heavier where a point moves."""
        moving = batch.moving_points()
        return place_weights(moving, self.config.moving_weight, self.config.equal_windows, grid=moving.shape[1:])


def check_vae_fits(vae: TrackVAEConfig, data: DatasetInfo, encoder: ImageEncoderConfig | None) -> None:
    """Raises ValueError where the VAE is for tracks or image tokens of another shape than the data's or encoder's."""
    for name in ("num_frames", "grid", "image_size"):
        if getattr(vae, name) != getattr(data, name):
            raise ValueError(
                f"vae.{name} is {getattr(vae, name)}, the data's is {getattr(data, name)}; choose the config made for "
                "this data, or change vae." + name
            )
    if encoder is not None and (vae.image_grid, vae.image_dim) != (encoder.grid, encoder.dim):
        raise ValueError(
            f"vae.image_grid and image_dim are {vae.image_grid}, {vae.image_dim}, the image encoder gives "
            f"{encoder.grid}, {encoder.dim}; make them the same"
        )


def check_same_dt(folder: str, trained: float | None, data: DatasetInfo) -> None:
    """Raises ValueError where a VAE is to encode tracks at another frame interval than it was trained on."""
    if trained is not None and not math.isclose(trained, data.dt, rel_tol=1e-3):
        raise ValueError(
            f"the data has dt {data.dt:.4g} s, the VAE of {folder} was trained at {trained:.4g} s, where points move "
            "differently far in a frame; prepare the data at that dt, or train a VAE on this data"
        )


def trained_networks(trained: TrainedVAEConfig, model: VAEWithEncoder) -> dict[str, nn.Module]:
    """By their files in a folder that `load_trained_vae` reads."""
    networks: dict[str, nn.Module] = {"vae.safetensors": model.vae}
    if model.image_encoder is not None and trained.image_encoder.kind == "patch":
        networks["image_encoder.safetensors"] = model.image_encoder
    return networks


def save_trained_vae(trained: TrainedVAEConfig, model: VAEWithEncoder, folder: Path) -> None:
    """Writes what `load_trained_vae` reads."""
    for name, network in trained_networks(trained, model).items():
        save_weights(network, folder / name)
    write_atomically(folder / CONFIG_FILE, (json.dumps(to_dict(trained), indent=2) + "\n").encode())


def load_trained_vae(folder: Path) -> tuple[TrainedVAEConfig, VAEWithEncoder]:
    """Raises ValueError where the folder was not written by `trajforecast train vae`, or a file in it is damaged."""
    folder = Path(export_within(folder))
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise ValueError(f"vae: {folder} has no {CONFIG_FILE}; give the checkpoint folder of `trajforecast train vae`")
    values = read_object(path, "copy the checkpoint again, or train the VAE again")
    try:
        trained = from_dict(TrainedVAEConfig, values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not all(0 < deviation < math.inf for deviation in trained.latent_std):
        raise ValueError(
            f"{path}: latent_std is {list(trained.latent_std)}, expected numbers above 0; train the VAE again, on data in "
            "which something moves"
        )
    model = VAEWithEncoder(trained)
    load_weights(model.vae, folder / "vae.safetensors")
    if model.image_encoder is not None and trained.image_encoder.kind == "patch":
        load_weights(model.image_encoder, folder / "image_encoder.safetensors")
    return trained, model.eval().requires_grad_(False)


def _loader(dataset: ShardDataset, indices: list[int]) -> DataLoader:
    return DataLoader(Subset(dataset, indices), batch_size=32, collate_fn=collate)


def _squared_error(tracks: Tensor, truth: Tensor) -> Tensor:
    """[B, T, H, W, 2] -> [B, H, W]: summed over x and y, averaged over time."""
    return ((tracks - truth) ** 2).sum(-1).mean(1)
