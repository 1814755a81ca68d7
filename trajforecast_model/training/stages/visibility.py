"""Training of the head that says which points of a forecast will be seen, beside a finished forecaster.

Binary cross-entropy on the latents of true tracks, as TrajLoom trains its own (arXiv 2603.22606, appendix B). The export
is the forecaster with the head.
"""

import dataclasses
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trajforecast_model.checkpoint import (
    build_denoiser,
    build_vae,
    export_within,
    load_config,
    load_weights,
    save_config,
    save_weights,
)
from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.evaluation.forecasters.points import check_dense_fit
from trajforecast_model.networks.image_encoder import build_image_encoder
from trajforecast_model.networks.visibility_head import VisibilityHead, VisibilityHeadConfig
from trajforecast_model.training.batches import Batch, collate, spread_evenly
from trajforecast_model.training.configs import VisibilityTrainConfig
from trajforecast_model.training.distributed import World
from trajforecast_model.training.features.image_tokens import image_tokens
from trajforecast_model.training.noise import WindowNoise
from trajforecast_model.training.stages.flow_matching import LatentSpace

_AT_ONCE = 32  # windows of a validation


class VisibilityStage:
    latent_space = None  # its windows are read with what is seen, and so with their tracks
    reads_instructions = False
    reads_history = False

    def __init__(self, config: VisibilityTrainConfig):
        self.config = config
        self.validation = ShardDataset(config.data.folder, "val", history=False)
        self.source = Path(export_within(config.forecaster))
        forecaster = load_config(self.source)
        if forecaster.vae is None:
            raise ValueError(f"forecaster: {config.forecaster} has no VAE, of whose latents visibility is told")
        check_dense_fit(forecaster, self.validation.info)
        vae = forecaster.vae
        self.forecast_config = dataclasses.replace(
            forecaster,
            visibility=VisibilityHeadConfig(
                num_frames=vae.num_frames,
                grid=tuple(vae.grid),
                latent=(vae.latent_frames, vae.latent_channels, *vae.latent_grid),
                image_grid=forecaster.denoiser.image_grid,
                image_dim=forecaster.denoiser.image_dim,
                dim=config.dim,
                depth=config.depth,
                heads=config.heads,
            ),
        )
        torch.manual_seed(config.optimisation.seed)
        self.model = VisibilityHead(self.forecast_config.visibility)
        self.image_encoder = build_image_encoder(forecaster.image_encoder)
        if forecaster.image_encoder.kind == "patch":
            load_weights(self.image_encoder, self.source / "image_encoder.safetensors")
        self.vae = build_vae(forecaster, self.source)
        self.space = LatentSpace(self.vae, forecaster.latent_std)
        for network in (self.image_encoder, self.vae):
            network.eval().requires_grad_(False)

    @property
    def frozen_networks(self) -> dict[str, nn.Module]:
        return {"VAE": self.vae, "image encoder": self.image_encoder}

    def mean_weight(self, batch: Batch) -> Tensor:
        return torch.ones((), device=batch.images.device)

    def loss(
        self, model: VisibilityHead, batch: Batch, noise: WindowNoise, mean_weight: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        logits = self._logits(model, batch, noise)
        seen = batch.visibility[:, 1:].float()
        return F.binary_cross_entropy_with_logits(logits[:, 1:], seen), {}

    def compile(self, model: VisibilityHead) -> None:
        model.compile()

    @torch.no_grad()
    def validate(self, model: VisibilityHead, world: World, windows: int | None = None) -> dict[str, float]:
        """Of future points: cross-entropy, and the share told rightly, beside that of "all are seen"."""
        chosen = spread_evenly(len(self.validation), windows or self.config.logging.validation_windows)
        share = chosen[world.rank :: world.size]
        loss = right = always = count = 0
        for start in range(0, len(share), _AT_ONCE):
            batch = collate([self.validation[index] for index in share[start : start + _AT_ONCE]]).to(world.device)
            logits, seen = self._logits(model, batch, None)[:, 1:], batch.visibility[:, 1:]
            loss += F.binary_cross_entropy_with_logits(logits, seen.float(), reduction="sum").item()
            right += int(((logits > 0) == seen).sum())
            always += int(seen.sum())
            count += seen.numel()
        return world.means({"cross_entropy": (loss, count), "accuracy": (right, count), "all_seen": (always, count)})

    def score(self, figures: dict[str, float]) -> float:
        return figures["cross_entropy"]

    def exported(self, model: VisibilityHead) -> dict[str, nn.Module]:
        forecaster = self.forecast_config
        networks = {"visibility_head.safetensors": model, "vae.safetensors": self.vae}
        if forecaster.image_encoder.kind == "patch":
            networks["image_encoder.safetensors"] = self.image_encoder
        return networks | {"denoiser.safetensors": build_denoiser(forecaster, self.source)}

    def export(self, model: VisibilityHead, folder: Path) -> None:
        dtype = getattr(torch, self.config.stored_dtype)
        for name, network in self.exported(model).items():
            save_weights(network, folder / name, dtype)
        save_config(self.forecast_config, folder)

    def _logits(self, model: VisibilityHead, batch: Batch, noise: WindowNoise | None) -> Tensor:
        """[B, T, H, W], of latents drawn from the posterior, or of its mean without noise."""
        with torch.no_grad():
            tokens = image_tokens(batch, self.image_encoder.to(batch.images.device))
            if noise is None:
                latents = self.space.posterior(batch, tokens)[:, 0]
            else:
                latents = self.space.sample(batch, tokens, noise)
        return model(latents[:, None], tokens)[:, 0]
