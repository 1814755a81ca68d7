"""Training of TrajLoom's visibility head beside a finished generator (arXiv 2603.22606, appendix B).

Binary cross-entropy on the latents of true tracks, of the past and of the future. The export is the forecaster with the
head.
"""

import dataclasses
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trajforecast_model.checkpoint import export_within
from trajforecast_model.networks.trajloom.visibility import VisibilityHead, VisibilityHeadConfig
from trajforecast_model.training.batches import Batch, collate, spread_evenly
from trajforecast_model.training.distributed import World
from trajforecast_model.training.noise import WindowNoise
from trajforecast_model.training.trajloom.configs import TrajloomVisibilityTrainConfig
from trajforecast_model.training.trajloom.trained_vae import NormalisedLatents
from trajforecast_model.training.trajloom.windows import check_fits, past_and_future, windows_of
from trajforecast_model.trajloom.checkpoint import TrajloomNetworks, load_trajloom, save_trajloom

_AT_ONCE = 16  # windows of a validation


class TrajloomVisibilityStage:
    image_encoder = None
    latent_space = None  # its windows are read with what is seen, and so with their tracks
    reads_instructions = False
    reads_history = True

    def __init__(self, config: TrajloomVisibilityTrainConfig):
        self.config = config
        self.validation = windows_of(config.data.folder, "val")
        forecaster, networks = load_trajloom(Path(export_within(config.forecaster)))
        self.vae = networks.vae.eval().requires_grad_(False)
        self.generator = networks.generator.requires_grad_(False)
        self.kept_encoder = networks.image_encoder  # of the generator; it goes with the checkpoint
        check_fits(forecaster.vae, self.validation.info, config.data.folder, with_past=True)
        head = VisibilityHeadConfig(forecaster.vae.latent_channels, config.dim, config.depth, config.kernel)
        self.forecast_config = dataclasses.replace(forecaster, visibility=head)
        self.latents = NormalisedLatents(self.vae, forecaster.latents)
        torch.manual_seed(config.optimisation.seed)
        self.model = VisibilityHead(head)

    @property
    def frozen_networks(self) -> dict[str, nn.Module]:
        networks = {"VAE": self.vae, "generator": self.generator, "image encoder": self.kept_encoder}
        return {name: network for name, network in networks.items() if network is not None}

    def mean_weight(self, batch: Batch) -> Tensor:
        return torch.ones((), device=batch.images.device)

    def loss(
        self, model: VisibilityHead, batch: Batch, noise: WindowNoise, mean_weight: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        place = torch.special.ndtr(noise.normal(2)) if self.forecast_config.any_point else None
        logits, seen = self._logits(model, batch, place)
        return F.binary_cross_entropy_with_logits(logits, seen), {}

    def compile(self, model: VisibilityHead) -> None:
        model.compile()

    @torch.no_grad()
    def validate(self, model: VisibilityHead, world: World, windows: int | None = None) -> dict[str, float]:
        """Of the future's latent steps: cross-entropy, and the share told rightly, beside that of "all are seen"."""
        chosen = spread_evenly(len(self.validation), windows or self.config.logging.validation_windows)
        share = chosen[world.rank :: world.size]
        loss = right = always = count = 0
        for start in range(0, len(share), _AT_ONCE):
            batch = collate([self.validation[index] for index in share[start : start + _AT_ONCE]]).to(world.device)
            logits, seen = (halves[:, 1] for halves in self._logits(model, batch, None))
            loss += F.binary_cross_entropy_with_logits(logits, seen, reduction="sum").item()
            right += int(((logits > 0) == seen.bool()).sum())
            always += int(seen.sum())
            count += seen.numel()
        return world.means({"cross_entropy": (loss, count), "accuracy": (right, count), "all_seen": (always, count)})

    def score(self, figures: dict[str, float]) -> float:
        return figures["cross_entropy"]

    def exported(self, model: VisibilityHead) -> dict[str, nn.Module]:
        networks = {
            "vae.safetensors": self.vae,
            "generator.safetensors": self.generator,
            "visibility.safetensors": model,
        }
        if self.kept_encoder is not None:
            networks["image_encoder.safetensors"] = self.kept_encoder
        return networks

    def export(self, model: VisibilityHead, folder: Path) -> None:
        networks = TrajloomNetworks(self.vae, self.generator, model, self.kept_encoder)
        save_trajloom(self.forecast_config, networks, folder)

    def _logits(self, model: VisibilityHead, batch: Batch, place: Tensor | None) -> tuple[Tensor, Tensor]:
        """Of past and future [B, 2, T', N], beside 1 where a cell is seen in a latent step and 0 elsewhere."""
        halves = past_and_future(batch, self.vae.config, place)
        seen = torch.stack([half.seen_in_steps(self.vae.config) for half in halves], dim=1)
        logits = [model(self.latents(half.positions)).float() for half in halves]
        return torch.stack(logits, dim=1), seen.float()
