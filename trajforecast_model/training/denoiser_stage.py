"""Training of the denoiser (WHN section 3.3): rectified flow on latents of the frozen track VAE, or on tracks."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trajforecast_model.checkpoint import (
    ForecastConfig,
    build_vae,
    load_config,
    load_weights,
    save_config,
    save_weights,
)
from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.flow.path import flow_loss, interpolate, logit_normal_timesteps
from trajforecast_model.forecaster import Forecaster
from trajforecast_model.networks.denoiser import Denoiser, DenoiserConfig
from trajforecast_model.networks.image_encoder import build_image_encoder, standardise
from trajforecast_model.networks.text_encoder import BertTextEncoder
from trajforecast_model.tracks.grid import normalise
from trajforecast_model.tracks.motion import moving_points
from trajforecast_model.training.batches import Batch, spread_evenly
from trajforecast_model.training.configs import DenoiserTrainConfig
from trajforecast_model.training.vae_stage import load_trained_vae


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
        self.validation = ShardDataset(config.data.folder, "val")
        self.vae, image_encoder, latent_std = None, config.image_encoder, (1.0, 1.0)
        if config.start_from is not None:
            start = _config_of_checkpoint(config)
            self.vae = build_vae(start, Path(config.start_from))
            if self.vae is not None:
                self.vae.eval().requires_grad_(False)
                latent_std = start.latent_std
        elif config.vae is not None:
            trained, vae = load_trained_vae(Path(config.vae))
            self.vae, latent_std = vae.vae, trained.latent_std
            image_encoder = trained.image_encoder or image_encoder
        frames, grid, channels = (
            (info.num_frames, info.grid, 2)
            if self.vae is None
            else (self.vae.config.latent_frames, self.vae.config.latent_grid, self.vae.config.latent_channels)
        )
        self.forecast_config = ForecastConfig(
            denoiser=DenoiserConfig(
                num_frames=frames,
                grid=tuple(grid),
                channels=channels,
                image_grid=image_encoder.grid,
                image_dim=image_encoder.dim,
                text_dim=None if config.text_encoder is None else config.text_encoder.dim,
                track_encoding=self.vae is None,
                **vars(config.denoiser),
            ),
            image_encoder=image_encoder,
            vae=None if self.vae is None else self.vae.config,
            text_encoder=config.text_encoder,
            latent_std=latent_std,
            image_size=tuple(info.image_size),
            grid=tuple(info.grid),
            num_frames=info.num_frames,
            dt=info.dt,
            views=tuple(info.views),
            steps=config.sampling_steps,
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
        self.text_encoder = None if config.text_encoder is None else BertTextEncoder(config.text_encoder)

    def loss(
        self, model: DenoiserWithEncoder, batch: Batch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        config, device = self.config, batch.images.device
        tokens = model.image_encoder(standardise(batch.images, self.forecast_config.image_encoder.input_size))
        data, first = self._latents(batch, tokens, generator)  # [B, T, C, h, w], [B, 1, C, h, w]
        draws, windows = config.draws_per_window, len(data)
        data, first = (x.repeat_interleave(draws, dim=0) for x in (data, first))
        noise = torch.randn(data.shape, generator=generator).to(device)
        t = logit_normal_timesteps(len(data), generator).to(device)
        x = interpolate(noise, data, first, t)

        text = None if self.text_encoder is None else self.text_encoder.to(device)(batch.instructions)
        context = model.denoiser.image_context(tokens, text)
        grouped = x.unflatten(0, (windows, draws))
        velocity = model.denoiser.velocity(grouped, t.view(windows, draws), context).flatten(0, 1)
        loss = flow_loss(velocity, noise, data, self._weight(batch).repeat_interleave(draws, dim=0))
        return loss, {}

    def compile(self, model: DenoiserWithEncoder) -> None:
        model.image_encoder.compile()
        model.denoiser.image_context = torch.compile(model.denoiser.image_context)
        model.denoiser.velocity = torch.compile(model.denoiser.velocity)

    @torch.no_grad()
    def validate(self, model: DenoiserWithEncoder) -> dict[str, float]:
        """MeanT over all moving points of some val windows, px^2 summed over x and y, beside nothing moves, per view."""
        logging = self.config.logging
        forecaster = Forecaster(self.forecast_config, model.denoiser, self.vae, model.image_encoder)
        rows = [self.validation[i] for i in spread_evenly(len(self.validation), logging.validation_windows)]
        figures = {}
        for view in self.forecast_config.views:
            windows = [window for window in rows if window.view == view]
            errors, still = [], []
            for start in range(0, len(windows), 16):
                part = windows[start : start + 16]
                tracks = forecaster.predict_batch(
                    np.stack([window.image for window in part]),
                    [window.instruction for window in part],
                    logging.validation_samples,
                    None,
                    list(range(start, start + len(part))),
                ).mean(axis=1)  # [B, T, H, W, 2]
                truth = np.stack([window.tracks for window in part])
                moving = moving_points(truth)
                errors.append(((tracks - truth) ** 2).sum(-1).mean(1)[moving])
                still.append(((truth[:, :1] - truth) ** 2).sum(-1).mean(1)[moving])
            if windows:
                figures[f"{view}_mean_t_px2"] = float(np.concatenate(errors).mean())
                figures[f"{view}_nothing_moves_px2"] = float(np.concatenate(still).mean())
        return figures

    def export(self, model: DenoiserWithEncoder, folder: Path) -> None:
        dtype = getattr(torch, self.config.stored_dtype)
        save_weights(model.denoiser, folder / "denoiser.safetensors", dtype)
        if self.vae is not None:
            save_weights(self.vae, folder / "vae.safetensors", dtype)
        if self.forecast_config.image_encoder.kind == "patch":
            save_weights(model.image_encoder, folder / "image_encoder.safetensors", dtype)
        save_config(self.forecast_config, folder)

    def _load_start(self, start: ForecastConfig) -> None:
        folder = Path(self.config.start_from)
        for part in ("denoiser", "image_encoder", "text_encoder"):
            ours, theirs = getattr(self.forecast_config, part), getattr(start, part)
            if ours != theirs:
                raise ValueError(
                    f"start_from: the networks of {folder} are not those of this config; {part} is {theirs} there, "
                    f"{ours} here"
                )
        load_weights(self.model.denoiser, folder / "denoiser.safetensors")
        if start.image_encoder.kind == "patch":
            load_weights(self.model.image_encoder, folder / "image_encoder.safetensors")

    @torch.no_grad()
    def _latents(self, batch: Batch, tokens: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        tracks = normalise(batch.tracks, self.forecast_config.image_size).movedim(-1, 2)  # [B, T, 2, H, W]
        if self.vae is None:
            return tracks, tracks[:, :1]
        vae = self.vae.to(tracks.device)
        std_of_channel = torch.tensor(self.forecast_config.latent_std, device=tracks.device)
        mean, std = vae.encode(tracks, tokens)
        latents = mean + std * torch.randn(mean.shape, generator=generator).to(mean.device)
        static, _ = vae.encode(vae.static_tracks(len(tracks)), tokens)
        grid = vae.config.latent_grid
        latents, first = (
            (x.float() / std_of_channel).unflatten(2, grid).movedim(-1, 2) for x in (latents, static[:, :1])
        )
        return latents, first

    def _weight(self, batch: Batch) -> Tensor | None:
        """[B, 1, 1, h, w]: heavier where a latent token (or a point, without a VAE) holds something that moves."""
        moving = moving_points(batch.tracks).float()
        patch = 1 if self.vae is None else self.vae.config.patch_size
        weight = 1 + (self.config.moving_weight - 1) * F.max_pool2d(moving[:, None], patch)
        return (weight / weight.mean())[:, None]


def _config_of_checkpoint(config: DenoiserTrainConfig) -> ForecastConfig:
    if config.vae is not None:
        raise ValueError(
            f"start_from: {config.start_from} brings its own VAE; set vae to null (it is {config.vae!r}), or leave "
            "start_from out"
        )
    return load_config(Path(config.start_from))
