"""The stage that trains the denoiser, with the image encoder unless that is frozen; its loss is in flow_matching.py."""

import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from trajforecast_model.checkpoint import (
    ForecastConfig,
    build_vae,
    export_within,
    load_config,
    load_weights,
    save_config,
    save_weights,
)
from trajforecast_model.data.shards import DatasetInfo, ShardDataset
from trajforecast_model.evaluation.forecasters.models import DENSE_FORECASTERS
from trajforecast_model.networks.denoiser import HISTORY_PARTS, LAST_MOTION_PARTS, Denoiser, DenoiserConfig
from trajforecast_model.networks.history_encoder import PastTracks
from trajforecast_model.networks.image_encoder import build_image_encoder
from trajforecast_model.networks.text_encoder import build_text_encoder, made_by
from trajforecast_model.tracks.history import History
from trajforecast_model.training.batches import Batch, collate, spread_evenly
from trajforecast_model.training.configs import DenoiserTrainConfig
from trajforecast_model.training.distributed import World
from trajforecast_model.training.features.frozen import is_frozen, same_network
from trajforecast_model.training.features.image_tokens import image_tokens
from trajforecast_model.training.noise import WindowNoise
from trajforecast_model.training.past import check_past, past_in_training, swapped, swaps
from trajforecast_model.training.stages.flow_matching import FlowSpace, LatentSpace, TrackSpace, flow_matching_loss
from trajforecast_model.training.stages.loss_weights import place_weights
from trajforecast_model.training.stages.pixel_space import PixelSpace
from trajforecast_model.training.stages.selection import best_error
from trajforecast_model.training.stages.vae import check_same_dt, check_vae_fits, load_trained_vae


class DenoiserWithEncoder(nn.Module):
    """What the denoiser's run trains: the denoiser, and the patch encoder unless the VAE brought a trained one."""

    def __init__(self, config: ForecastConfig):
        super().__init__()
        self.denoiser = Denoiser(config.denoiser)
        self.image_encoder = build_image_encoder(config.image_encoder)


class DenoiserStage:
    def __init__(self, config: DenoiserTrainConfig):
        self.config = config
        info = ShardDataset(config.data.folder, "train").info
        if config.history is not None:
            check_past(config.history, info, config.data.folder)
        self.validation = ShardDataset(config.data.folder, "val", history=config.history is not None)
        self.vae, image_encoder, latent_std = None, config.image_encoder, None
        if config.start_from is not None:
            start = _config_of_checkpoint(config)
            self.vae = build_vae(start, Path(export_within(config.start_from)))
            if self.vae is not None:
                check_same_dt(config.start_from, start.dt, info)
                self.vae.eval().requires_grad_(False)
                latent_std = start.latent_std
        elif config.vae is not None:
            trained, vae = load_trained_vae(Path(config.vae))
            check_same_dt(config.vae, trained.dt, info)
            self.vae, latent_std = vae.vae, trained.latent_std
            image_encoder = trained.image_encoder or image_encoder
        if self.vae is not None:
            check_vae_fits(self.vae.config, info, image_encoder if self.vae.config.image_conditioned else None)
        frames, grid, channels = self._shape(info)
        of_positions = config.target == "tracks" and self.vae is None
        size = vars(config.denoiser) | {"track_encoding": of_positions and config.denoiser.track_encoding}
        self.forecast_config = ForecastConfig(
            denoiser=DenoiserConfig(
                num_frames=frames,
                grid=tuple(grid),
                channels=channels,
                image_grid=image_encoder.grid,
                image_dim=image_encoder.dim,
                text_dim=None if config.text_encoder is None else config.text_encoder.dim,
                history=None if config.history is None else config.history.network(info),
                **size,
            ),
            image_encoder=image_encoder,
            vae=None if self.vae is None else self.vae.config,
            text_encoder=config.text_encoder,
            latent_std=latent_std or (1.0,) * channels,
            generates=config.target,
            image_size=tuple(info.image_size),
            grid=tuple(info.grid),
            num_frames=info.num_frames,
            dt=info.dt,
            views=tuple(info.views),
            steps=config.sampling_steps,
            solver=config.sampling_solver,
            anchor_first_frame=config.anchor_first_frame,
        )
        torch.manual_seed(config.optimisation.seed)
        self.model = DenoiserWithEncoder(self.forecast_config)
        if config.start_from is not None:
            self._load_start(start)
        elif self.vae is not None and self.vae.config.image_conditioned:
            self.model.image_encoder.load_state_dict(vae.image_encoder.state_dict())
        if self.vae is not None and self.vae.config.image_conditioned:
            self.model.image_encoder.requires_grad_(False)  # the VAE was trained on this encoder's tokens
        self.image_encoder = self.model.image_encoder
        self.space = self._space()
        self.latent_space = self.space if isinstance(self.space, LatentSpace) else None
        if self.latent_space is None and config.history is not None and config.history.last_motion:
            raise ValueError("history.last_motion is shown as the track VAE's latents; give a vae, or set it to false")
        self.text_encoder = None if config.text_encoder is None else build_text_encoder(config.text_encoder)

    @property
    def reads_instructions(self) -> bool:
        return self.text_encoder is not None

    @property
    def reads_history(self) -> bool:
        return self.config.history is not None

    @property
    def frozen_networks(self) -> dict[str, nn.Module]:
        encoder = self.image_encoder if is_frozen(self.image_encoder) else None
        networks = {"VAE": self.vae, "image encoder": encoder, "text encoder": self.text_encoder}
        return {name: network for name, network in networks.items() if network is not None}

    def mean_weight(self, batch: Batch) -> Tensor:
        return self._weight(batch).mean()

    def loss(
        self, model: DenoiserWithEncoder, batch: Batch, noise: WindowNoise, mean_weight: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        tokens = image_tokens(batch, model.image_encoder)
        text = None if self.text_encoder is None else self.text_encoder.to(tokens.device)(batch.instructions)
        history = self._past(batch, tokens, noise)
        if (past := self.config.history) is not None:
            which = swaps(history, past, noise.normal(1))
            tokens, text = swapped(tokens, which), swapped(text, which)
        loss = flow_matching_loss(
            model.denoiser,
            self.space,
            batch,
            tokens,
            text,
            noise,
            history=history,
            draws=self.config.draws_per_window,
            pure_noise_draws=self.config.pure_noise_draws,
            weight=self._weight(batch) / mean_weight,
        )
        return loss, {}

    def _past(self, batch: Batch, tokens: Tensor, noise: WindowNoise) -> PastTracks | None:
        config = self.config.history
        if config is None:
            return None
        past = past_in_training(batch, config, noise)
        return self.latent_space.with_last_motion(past, tokens) if config.last_motion else past

    def compile(self, model: DenoiserWithEncoder) -> None:
        model.image_encoder.compile()
        model.denoiser.image_context = torch.compile(model.denoiser.image_context)
        model.denoiser.velocity = torch.compile(model.denoiser.velocity)

    def validate(self, model: DenoiserWithEncoder, world: World, windows: int | None = None) -> dict[str, float]:
        """MeanT and Min over all moving points of some val windows, px^2 summed over x and y, beside nothing moves.

        Per view. Min takes each window's best sample.
        """
        logging = self.config.logging
        forecaster = DENSE_FORECASTERS[self.config.target](
            self.forecast_config, model.denoiser, self.vae, model.image_encoder, self.text_encoder, device=world.device
        )
        chosen = spread_evenly(len(self.validation), windows or logging.validation_windows)
        sums = {}
        for view in self.forecast_config.views:
            of_view = [index for index in chosen if self.validation.rows.view[index] == view]
            mean_t, best, still, count = 0.0, 0.0, 0.0, 0
            # A window's place among all is its seed, so that its forecasts are the same on any number of ranks.
            share = list(enumerate(of_view))[world.rank :: world.size]
            for part in (share[start : start + 16] for start in range(0, len(share), 16)):
                batch = collate([self.validation[index] for _, index in part])
                tracks = forecaster.predict_batch(
                    batch.images.numpy(),
                    batch.instructions,
                    logging.validation_samples,
                    None,
                    [seed for seed, _ in part],
                    history=_history(batch),
                )  # [B, k, T, H, W, 2]
                truth, moving = batch.tracks.numpy(), batch.moving_points().numpy()
                mean_t += _summed_error(tracks.mean(axis=1), truth, moving).sum()
                best += _summed_error(tracks, truth[:, None], moving[:, None]).min(axis=1).sum()
                still += _summed_error(truth[:, :1], truth, moving).sum()
                count += int(moving.sum())
            sums |= {
                f"{view}_mean_t_px2": (mean_t, count),
                f"{view}_min_px2": (best, count),
                f"{view}_nothing_moves_px2": (still, count),
            }
        return world.means(sums)

    def score(self, figures: dict[str, float]) -> float:
        return best_error(figures)

    def exported(self, model: DenoiserWithEncoder) -> dict[str, nn.Module]:
        networks: dict[str, nn.Module] = {"denoiser.safetensors": model.denoiser}
        if self.vae is not None:
            networks["vae.safetensors"] = self.vae
        if self.forecast_config.image_encoder.kind == "patch":
            networks["image_encoder.safetensors"] = model.image_encoder
        return networks

    def export(self, model: DenoiserWithEncoder, folder: Path) -> None:
        dtype = getattr(torch, self.config.stored_dtype)
        for name, network in self.exported(model).items():
            save_weights(network, folder / name, dtype)
        save_config(self.forecast_config, folder)

    def _load_start(self, start: ForecastConfig) -> None:
        folder = Path(export_within(self.config.start_from))
        builders = {"denoiser": None, "image_encoder": build_image_encoder, "text_encoder": build_text_encoder}
        for part, build in builders.items():
            ours, theirs = getattr(self.forecast_config, part), getattr(start, part)
            if part == "denoiser":
                ours, added = _before_additions(ours, theirs)
            if part == "text_encoder" and ours is not None:
                ours = made_by(ours)
            if ours != theirs and (build is None or not same_network(build, ours, theirs)):
                raise ValueError(
                    f"start_from: the networks of {folder} are not those of this config; {part} is {theirs} there, "
                    f"{ours} here"
                )
        load_weights(self.model.denoiser, folder / "denoiser.safetensors", added=added)
        if start.image_encoder.kind == "patch":
            load_weights(self.model.image_encoder, folder / "image_encoder.safetensors")

    def _space(self) -> FlowSpace:
        if self.config.target == "pixels":
            return PixelSpace()
        return (
            TrackSpace(self.forecast_config)
            if self.vae is None
            else LatentSpace(self.vae, self.forecast_config.latent_std)
        )

    def _shape(self, info: DatasetInfo) -> tuple[int, tuple[int, int], int]:
        """Frames, grid and channels of what is generated."""
        if self.config.target == "pixels":
            if self.vae is not None:
                raise ValueError("target: pixels are generated without the VAE of tracks; set vae to null")
            if info.frame_size is None:
                raise ValueError(
                    f"target: pixels needs the frames, which {self.config.data.folder} does not hold; prepare the data "
                    "with --frame-size, e.g. --frame-size 64"
                )
            return info.num_frames, info.frame_size, 3
        if self.vae is None:
            return info.num_frames, info.grid, 2
        return self.vae.config.latent_frames, self.vae.config.latent_grid, self.vae.config.latent_channels

    def _weight(self, batch: Batch) -> Tensor:
        """[B, 1, 1, h, w]: heavier where a latent token (a point or a pixel, without a VAE) holds something that moves."""
        config = self.config
        grid = self.forecast_config.denoiser.grid
        weight = place_weights(batch.moving_points(), config.moving_weight, config.equal_windows, grid)
        return weight[:, None, None]


def _before_additions(ours: DenoiserConfig, theirs: DenoiserConfig) -> tuple[DenoiserConfig, tuple[str, ...]]:
    """Ours without what of the past may be added to theirs, since it counts for nothing at first, and its weights' names."""
    if ours.history is None:
        return ours, ()
    if theirs.history is None:
        return dataclasses.replace(ours, history=None), HISTORY_PARTS
    if ours.history.last_motion and not theirs.history.last_motion:
        return dataclasses.replace(
            ours, history=dataclasses.replace(ours.history, last_motion=False)
        ), LAST_MOTION_PARTS
    return ours, ()


def _summed_error(tracks: np.ndarray, truth: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """[..., T, H, W, 2] -> [...]: squared error of the moving points, averaged over time, summed over points."""
    error = ((tracks - truth) ** 2).sum(-1).mean(-3)
    return np.where(moving, error, 0).sum((-2, -1), dtype=np.float64)


def _history(batch: Batch) -> History | None:
    if batch.history_tracks is None:
        return None
    return History(batch.history_tracks.numpy(), batch.history_visibility.numpy())


def _config_of_checkpoint(config: DenoiserTrainConfig) -> ForecastConfig:
    if config.vae is not None:
        raise ValueError(
            f"start_from: {config.start_from} brings its own VAE; set vae to null (it is {config.vae!r}), or leave "
            "start_from out"
        )
    return load_config(Path(export_within(config.start_from)))
