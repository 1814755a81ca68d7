"""What the loop trains on: windows that `trajforecast prepare` wrote, unless a stage brings data of its own."""

from collections.abc import Sequence
from typing import Protocol

from torch.utils.data import Dataset

from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.training.checks import check_windows
from trajforecast_model.training.configs import DataConfig
from trajforecast_model.training.distributed import World
from trajforecast_model.training.features.kept_features import FrozenNetworks, training_windows


class TrainingData(Protocol):
    num_validation: int
    instructions: Sequence[str]  # of both splits

    def __len__(self) -> int:
        """Of the training split."""

    def check(self) -> None:
        """Raises ValueError where it cannot be trained on."""

    def windows(self, world: World) -> Dataset:
        """The training split. Called on every rank; what frozen networks make of it is made first."""


class StageOfWindows(FrozenNetworks, Protocol):
    validation: ShardDataset
    reads_instructions: bool
    reads_history: bool


class PreparedData:
    def __init__(self, config: DataConfig, stage: StageOfWindows):
        self._config, self._stage = config, stage
        self._anchors = (stage.validation.info.anchor,)  # which the stage has taken
        self._training = ShardDataset(config.folder, "train", history_pictures=False, anchors=self._anchors)
        self.num_validation = len(stage.validation)
        self.instructions = [*self._training.rows.instruction, *stage.validation.rows.instruction]

    def __len__(self) -> int:
        return len(self._training)

    def check(self) -> None:
        check_windows(self._training, "train", self._stage.reads_instructions)
        check_windows(self._stage.validation, "val", self._stage.reads_instructions)

    def windows(self, world: World) -> Dataset:
        return training_windows(self._config, self._stage, world, self._stage.reads_history, self._anchors)
