"""What the training of every baseline shares: its checkpoints, and validation by the protocol's errors."""

from pathlib import Path

import torch
from torch import Tensor, nn

from trajforecast_model.baselines.checkpoint import KINDS, WEIGHTS, BaselineConfig, save_baseline
from trajforecast_model.data.shards import DatasetInfo, ShardDataset
from trajforecast_model.evaluation.forecasters.baselines import FORECASTERS
from trajforecast_model.files.config import to_dict
from trajforecast_model.networks.text_encoder import build_text_encoder
from trajforecast_model.training.batches import Batch
from trajforecast_model.training.configs import ATMTrainConfig, Track2ActTrainConfig
from trajforecast_model.training.distributed import World
from trajforecast_model.training.stages.point_validation import validate_points
from trajforecast_model.training.stages.selection import best_error


class BaselineStage:
    """A training stage without its loss; `kind` is a key of KINDS.

    Raises:
        ValueError: where the network is for data or a text encoder of another shape.
    """

    kind: str
    image_encoder = None  # none whose tokens could be kept: it is trained along
    latent_space = None
    reads_instructions = True
    reads_history = False

    def __init__(self, config: ATMTrainConfig | Track2ActTrainConfig):
        self.config = config
        self.validation = ShardDataset(config.data.folder, "val")
        _check_fits(config, self.validation.info)
        self.text_encoder = build_text_encoder(config.text_encoder)
        torch.manual_seed(config.optimisation.seed)
        _, network = KINDS[self.kind]
        self.model = network(config.network)

    @property
    def frozen_networks(self) -> dict[str, nn.Module]:
        return {"text encoder": self.text_encoder}

    def mean_weight(self, batch: Batch) -> Tensor:
        return torch.ones((), device=batch.tracks.device)  # every point counts the same

    def compile(self, model: nn.Module) -> None:
        model.compile()

    def validate(self, model: nn.Module, world: World, windows: int | None = None) -> dict[str, float]:
        forecaster = FORECASTERS[self.kind](self._baseline_config(), model, self.text_encoder, device=world.device)
        return validate_points(forecaster, self.validation, self.config.logging, world, windows)

    def score(self, figures: dict[str, float]) -> float:
        return best_error(figures)

    def exported(self, model: nn.Module) -> dict[str, nn.Module]:
        return {WEIGHTS: model}

    def export(self, model: nn.Module, folder: Path) -> None:
        save_baseline(self._baseline_config(), model, folder)

    def _baseline_config(self) -> BaselineConfig:
        info = self.validation.info
        return BaselineConfig(
            baseline=self.kind,
            network=to_dict(self.config.network),
            text_encoder=self.config.text_encoder,
            dt=info.dt,
            views=tuple(info.views),
        )


def _check_fits(config: ATMTrainConfig | Track2ActTrainConfig, data: DatasetInfo) -> None:
    """Raises ValueError where the network is for data or a text encoder of another shape."""
    network = config.network
    for name in ("num_frames", "image_size"):
        if getattr(network, name) != getattr(data, name):
            raise ValueError(f"network.{name} is {getattr(network, name)}, the data's is {getattr(data, name)}")
    if network.text_dim != config.text_encoder.dim:
        raise ValueError(
            f"network.text_dim is {network.text_dim}, text_encoder.dim {config.text_encoder.dim}; make them the same"
        )
