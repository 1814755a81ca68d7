"""What a training YAML of TrajLoom's stages may say; config/train/trajloom/ has commented examples."""

from dataclasses import dataclass, field
from typing import Literal

from trajforecast_model.files.config import check_at_least
from trajforecast_model.flow.solvers import check_solver
from trajforecast_model.networks.image_encoder import ImageEncoderConfig
from trajforecast_model.networks.text_encoder import TextEncoderConfig
from trajforecast_model.networks.trajloom.track_vae import TrajloomVAEConfig
from trajforecast_model.training.configs import DataConfig, LoggingConfig, OptimisationConfig
from trajforecast_model.training.trajloom.flow_losses import FlowTimesConfig, OnPolicyConfig


@dataclass(frozen=True)
class TrajloomVAETrainConfig:
    out: str  # run folder: TensorBoard, resume state, checkpoint
    data: DataConfig
    optimisation: OptimisationConfig
    vae: TrajloomVAEConfig = field(default_factory=TrajloomVAEConfig)
    # Of the data's points in a cell: its top-left one, or in each window another one of them.
    points: Literal["corner", "any"] = "corner"
    logging: LoggingConfig = field(default_factory=LoggingConfig)
    huber_delta: float = 1.0  # in normalised coordinates: 2 is the image's side
    kl_weight: float = 5e-5
    temporal_weight: float = 0.1  # of the velocity's error; 0 leaves it out
    spatial_weight: float = 0.2  # of the error between neighbours; 0 leaves it out
    moving_weight: float = 1.0  # weight of the points that move (protocol's filter) beside 1 for the others
    statistics_windows: int = 2048  # of the training split, whose latents tell how latents are normalised

    def __post_init__(self):
        check_at_least(0, self, "kl_weight", "temporal_weight", "spatial_weight", "moving_weight")
        check_at_least(1, self, "statistics_windows")
        if not self.huber_delta > 0:
            raise ValueError(f"huber_delta: got {self.huber_delta!r}, expected a number above 0")


@dataclass(frozen=True)
class GeneratorSizeConfig:
    dim: int = 768
    depth: int = 16  # blocks: half over time, half over space
    heads: int = 12
    video_channels: int = 16  # of the video's latents, which may be given to the finished model
    fusion: bool = True  # queries see their own token's past, carried on by its last step and gated by time


@dataclass(frozen=True)
class TrajloomTrainConfig:
    out: str
    data: DataConfig
    optimisation: OptimisationConfig
    vae: str | None = None  # checkpoint folder of `train trajloom_vae`
    start_from: str | None = None  # checkpoint folder to train on; it brings its VAE, so `vae` is null then
    generator: GeneratorSizeConfig = field(default_factory=GeneratorSizeConfig)
    text_encoder: TextEncoderConfig | None = None  # null: captions are not read
    image_encoder: ImageEncoderConfig | None = None  # null: the present picture is not looked at
    logging: LoggingConfig = field(default_factory=LoggingConfig)
    anchor_noise: float | None = 0.1  # of the source about the last latent of the past; null: it is not anchored
    flow_times: FlowTimesConfig = field(default_factory=FlowTimesConfig)
    tube_noise: float = 0.05  # standard deviation of states about the line from source to data
    hidden_weight: float = 0.01  # weight of tokens that are not seen beside 1 for those that are
    moving_weight: float = 1.0  # weight of tokens whose point moves (protocol's filter) beside 1 for the others
    history_visibility: bool = True  # whether the network is told which points of the past were seen
    text_dropped: float = 0.1  # share of windows that are shown without their caption
    on_policy: OnPolicyConfig | None = None  # null: the flow's loss alone
    sampling_steps: int = 10  # network evaluations of the exported checkpoint
    sampling_solver: str = "euler"  # of the exported checkpoint, see flow/solvers.py

    def __post_init__(self):
        check_at_least(1, self, "sampling_steps")
        check_at_least(0, self, "tube_noise", "hidden_weight", "moving_weight")
        if self.anchor_noise is not None:
            check_at_least(0, self, "anchor_noise")
        if not 0 <= self.text_dropped <= 1:
            raise ValueError(f"text_dropped: got {self.text_dropped}, expected a share from 0 to 1")
        check_solver(self.sampling_solver)
        if (self.vae is None) == (self.start_from is None):
            raise ValueError(
                "expected either vae, the checkpoint folder of `train trajloom_vae`, or start_from, that of a generator, "
                f"which brings its VAE; got vae {self.vae!r} and start_from {self.start_from!r}"
            )
        if self.on_policy is not None and self.on_policy.samples > self.optimisation.batch_size:
            raise ValueError(
                f"on_policy.samples: got {self.on_policy.samples}, more than optimisation.batch_size "
                f"{self.optimisation.batch_size}"
            )


@dataclass(frozen=True)
class TrajloomVisibilityTrainConfig:
    out: str
    forecaster: str  # checkpoint folder of `train trajloom` or `convert trajloom`, which gets the head
    data: DataConfig
    optimisation: OptimisationConfig
    dim: int = 64  # width of the head
    depth: int = 3  # its convolutions over time
    kernel: int = 3  # latent steps
    logging: LoggingConfig = field(default_factory=LoggingConfig)
