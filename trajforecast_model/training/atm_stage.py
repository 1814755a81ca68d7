"""Training of ATM's track transformer (arXiv 2401.00025): squared error of tracks, and of masked image patches beside.

Tra-MoE's (arXiv 2411.14519) as well, with a small penalty on the logits of its gates.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from trajforecast_model.baselines.checkpoint import BaselineConfig, save_baseline
from trajforecast_model.baselines.track_transformer import TrackTransformer, signed_pixels
from trajforecast_model.config import to_dict
from trajforecast_model.data.shards import DatasetInfo, ShardDataset
from trajforecast_model.evaluation.baseline_forecasters import TrackTransformerForecaster
from trajforecast_model.networks.text_encoder import BertTextEncoder
from trajforecast_model.training.batches import Batch
from trajforecast_model.training.configs import ATMTrainConfig, Track2ActTrainConfig
from trajforecast_model.training.distributed import World
from trajforecast_model.training.noise import WindowNoise
from trajforecast_model.training.point_validation import best_error, validate_points


class ATMStage:
    def __init__(self, config: ATMTrainConfig):
        self.config = config
        self.validation = ShardDataset(config.data.folder, "val")
        check_baseline_fits(config, self.validation.info)
        self.text_encoder = BertTextEncoder(config.text_encoder)
        torch.manual_seed(config.optimisation.seed)
        self.model = TrackTransformer(config.network)

    def mean_weight(self, batch: Batch) -> Tensor:
        return torch.ones((), device=batch.tracks.device)  # every query point counts the same

    def loss(
        self, model: TrackTransformer, batch: Batch, noise: WindowNoise, mean_weight: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        config = self.config
        images = signed_pixels(batch.images)
        tracks = self._drawn_tracks(batch, noise)  # [B, T, N, 2], 0 to 1
        text = self.text_encoder.to(tracks.device)(batch.instructions)
        threshold = torch.special.ndtri(torch.tensor(config.masked_patches))
        rows, columns = config.network.image_grid
        masked = noise.normal(rows * columns) < threshold.to(tracks.device)
        with noise.of_dropout():
            output = model(images, tracks[:, 0], text, masked)
        track_error = ((output.tracks.float() - tracks) ** 2).mean()
        image_error = ((output.patches.float() - model.patchify(images)) ** 2).mean()
        loss = config.track_weight * track_error + config.image_weight * image_error
        loss = loss + config.gate_weight * output.gate_size.float()
        return loss, {"track_error": track_error.detach(), "image_error": image_error.detach()}

    def compile(self, model: TrackTransformer) -> None:
        model.compile()

    def validate(self, model: TrackTransformer, world: World) -> dict[str, float]:
        forecaster = TrackTransformerForecaster(self._baseline_config(), model, self.text_encoder, device=world.device)
        return validate_points(forecaster, self.validation, self.config.logging, world)

    def score(self, figures: dict[str, float]) -> float:
        return best_error(figures)

    def export(self, model: nn.Module, folder: Path) -> None:
        save_baseline(self._baseline_config(), model, folder)

    def _baseline_config(self) -> BaselineConfig:
        info = self.validation.info
        return BaselineConfig(
            baseline="atm",
            network=to_dict(self.config.network),
            text_encoder=self.config.text_encoder,
            dt=info.dt,
            views=tuple(info.views),
        )

    def _drawn_tracks(self, batch: Batch, noise: WindowNoise) -> Tensor:
        """[B, T, N, 2] tracks of N moving points, drawn with replacement; of any points where none moves.

        ATM trains on points that pass the protocol's filter, too: it prepares no others.
        """
        moving = batch.moving_points().flatten(1)
        candidates = torch.where(moving.any(1, keepdim=True), moving, True)
        uniform = torch.special.ndtr(noise.normal(self.config.network.num_points))  # [B, N] in (0, 1)
        order = candidates.cumsum(1)
        rank = (uniform * order[:, -1:]).floor().clamp(max=order[:, -1:] - 1) + 1
        chosen = torch.searchsorted(order.float(), rank)  # the first point of that rank
        tracks = batch.tracks.flatten(2, 3)  # [B, T, H * W, 2]
        index = chosen[:, None, :, None].expand(-1, tracks.shape[1], -1, 2)
        height, width = batch.images.shape[1:3]
        return tracks.gather(2, index) / tracks.new_tensor([width, height])


def check_baseline_fits(config: ATMTrainConfig | Track2ActTrainConfig, data: DatasetInfo) -> None:
    """Raises ValueError where the network is for data or a text encoder of another shape."""
    network = config.network
    for name in ("num_frames", "image_size"):
        if getattr(network, name) != getattr(data, name):
            raise ValueError(f"network.{name} is {getattr(network, name)}, the data's is {getattr(data, name)}")
    if network.text_dim != config.text_encoder.dim:
        raise ValueError(
            f"network.text_dim is {network.text_dim}, text_encoder.dim {config.text_encoder.dim}; make them the same"
        )
