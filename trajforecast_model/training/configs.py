"""What a training YAML may say. Values without a default must be given; config/train/ has commented examples."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

from trajforecast_model.baselines.track_diffusion import TrackDiffusionConfig
from trajforecast_model.baselines.track_transformer import TrackTransformerConfig
from trajforecast_model.files.config import check_at_least
from trajforecast_model.networks.image_encoder import ImageEncoderConfig
from trajforecast_model.networks.text_encoder import TextEncoderConfig
from trajforecast_model.networks.track_vae import TrackVAEConfig
from trajforecast_model.policy.checkpoint import ExecutionConfig, ForecastingConfig, Tracks
from trajforecast_model.policy.network import PolicySizeConfig
from trajforecast_model.policy.tracks import TrackInputConfig
from trajforecast_model.training.past import PastConfig


@dataclass(frozen=True)
class OptimisationConfig:
    steps: int  # optimiser steps
    batch_size: int  # windows a step, over all ranks
    learning_rate: float = 6e-5
    weight_decay: float = 0.01
    warmup_steps: int = 1448  # linear warm-up
    decay: Literal["constant", "cosine"] = "constant"  # after the warm-up
    accumulate: int = 1  # micro-batches a step: less memory, the same result
    parallel: Literal["ddp", "fsdp"] = "ddp"  # fsdp: each rank keeps a part of the weights; for models that do not fit
    compress_gradients: Literal[False, "bf16"] = False  # bf16: GPUs exchange gradients in half the bytes, rounded
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    precision: Literal["float32", "bfloat16"] = "bfloat16"  # of autocast; weights stay float32
    compile: bool = False  # torch.compile: faster steps after a minute of compiling; needs a C++ compiler on a CPU
    seed: int = 0

    def __post_init__(self):
        check_at_least(1, self, "steps", "batch_size", "accumulate", group="optimisation.")
        names = ("learning_rate", "weight_decay", "warmup_steps", "ema_decay", "seed")
        check_at_least(0, self, *names, group="optimisation.")
        if not self.clip_norm > 0:
            raise ValueError(f"optimisation.clip_norm: got {self.clip_norm!r}, expected a number above 0")
        if self.ema_decay >= 1:
            raise ValueError(f"optimisation.ema_decay: got {self.ema_decay!r}, expected a number below 1")


@dataclass(frozen=True)
class LoggingConfig:
    log_every: int = 50  # steps between two TensorBoard points
    checkpoint_every: int = 1000  # steps between two checkpoints
    keep: int = 2  # checkpoints on disk besides the best one; older ones are deleted
    validate_every: int = 1000  # steps between two validations
    validation_windows: int = 128  # of the val split, drawn evenly
    validation_samples: int = 4  # k of the denoiser's validation

    def __post_init__(self):
        names = ("log_every", "checkpoint_every", "keep", "validate_every", "validation_windows", "validation_samples")
        check_at_least(1, self, *names, group="logging.")


@dataclass(frozen=True)
class DataConfig:
    folder: str  # written by `trajforecast prepare`
    workers: int = 2  # loader processes
    feature_cache: str | None = None  # folder of the frozen image encoder's features; null computes them in every step
    latent_cache: str | None = None  # folder of the frozen VAE's latents; null computes them in every step


class RunConfig(Protocol):
    """What every stage's config has, for the loop."""

    out: str  # run folder: TensorBoard, resume state, checkpoint
    data: DataConfig
    optimisation: OptimisationConfig
    logging: LoggingConfig


@dataclass(frozen=True)
class VAETrainConfig:
    out: str  # run folder: TensorBoard, resume state, checkpoint
    data: DataConfig
    optimisation: OptimisationConfig
    vae: TrackVAEConfig = field(default_factory=TrackVAEConfig)
    image_encoder: ImageEncoderConfig = field(default_factory=ImageEncoderConfig)  # read if vae.image_conditioned
    start_from: str | None = None  # checkpoint folder of a forecaster, whose VAE is trained on
    logging: LoggingConfig = field(default_factory=LoggingConfig)
    huber_delta: float = 1.0
    kl_weight: float = 1e-6
    moving_weight: float = 1.0  # weight of the points that move (protocol's filter) beside 1 for the others
    equal_windows: bool = False  # every window weighs the same, as in the protocol, however much of it moves

    def __post_init__(self):
        check_at_least(0, self, "huber_delta", "kl_weight", "moving_weight")


@dataclass(frozen=True)
class DenoiserSizeConfig:
    patch_size: int = 1
    dim: int = 384
    depth: int = 12
    heads: int = 6
    skip_first_frame: bool = False
    aligned_image: bool = False
    track_encoding: bool = True  # Fourier features of positions; read where tracks themselves are denoised


@dataclass(frozen=True)
class DenoiserTrainConfig:
    out: str
    data: DataConfig
    optimisation: OptimisationConfig
    vae: str | None = None  # checkpoint folder of a trained VAE; null trains on tracks themselves
    target: Literal["tracks", "pixels"] = "tracks"  # pixels: generate the video, the ablation of the paper's table 6
    start_from: str | None = None  # checkpoint folder to fine-tune; it brings its VAE, so `vae` is null then
    denoiser: DenoiserSizeConfig = field(default_factory=DenoiserSizeConfig)
    history: PastConfig | None = None  # the points' past, for a denoiser that sees it; null for the present alone
    image_encoder: ImageEncoderConfig = field(default_factory=ImageEncoderConfig)
    text_encoder: TextEncoderConfig | None = field(default_factory=TextEncoderConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)
    draws_per_window: int = 1  # noises and flow times a window, which share the image's tokens
    pure_noise_draws: int = 0  # of them, those at flow time 0, where the velocity is a regression of the latent
    moving_weight: float = 1.0  # weight of latent tokens with a moving point beside 1 for the others
    equal_windows: bool = False  # every window weighs the same, as in the protocol, however much of it moves
    stored_dtype: Literal["float32", "float16"] = "float32"  # of the exported weights
    sampling_steps: int = 9  # network evaluations of the exported checkpoint
    sampling_solver: str = "euler"  # of the exported checkpoint, see flow/solvers.py
    anchor_first_frame: bool = True

    def __post_init__(self):
        check_at_least(1, self, "sampling_steps", "draws_per_window")
        check_at_least(0, self, "moving_weight")
        if not 0 <= self.pure_noise_draws < self.draws_per_window:
            raise ValueError(
                f"pure_noise_draws: got {self.pure_noise_draws}, expected fewer than draws_per_window, "
                f"{self.draws_per_window}, and at least 0"
            )


@dataclass(frozen=True)
class StudentTrainConfig:
    out: str
    teacher: str  # checkpoint folder; the student has its networks and starts from its weights
    data: DataConfig
    optimisation: OptimisationConfig
    start_from: str | None = None  # checkpoint folder of another student of this teacher, to go on from
    method: Literal["endpoint", "reflow"] = "endpoint"  # see training/stages/student.py
    teacher_steps: int = 9  # evaluations of the solutions that the student learns from
    teacher_solver: str = "euler"  # see flow/solvers.py
    sampling_steps: int = 2  # evaluations of the student, in training (endpoint) and in the exported checkpoint
    sampling_solver: str = "euler"
    logging: LoggingConfig = field(default_factory=LoggingConfig)
    draws_per_window: int = 4  # noises a window, which share the image's tokens
    moving_weight: float = 1.0  # weight of latent tokens with a moving point beside 1 for the others
    stored_dtype: Literal["float32", "float16"] = "float32"  # of the exported weights

    def __post_init__(self):
        check_at_least(1, self, "teacher_steps", "sampling_steps", "draws_per_window")
        check_at_least(0, self, "moving_weight")


@dataclass(frozen=True)
class VisibilityTrainConfig:
    out: str
    forecaster: str  # checkpoint folder, which gets the head
    data: DataConfig
    optimisation: OptimisationConfig
    dim: int = 96  # width of the head
    depth: int = 1  # its blocks
    heads: int = 2
    logging: LoggingConfig = field(default_factory=LoggingConfig)
    stored_dtype: Literal["float32", "float16"] = "float32"  # of the exported weights


@dataclass(frozen=True)
class ATMTrainConfig:
    out: str
    data: DataConfig
    optimisation: OptimisationConfig
    network: TrackTransformerConfig = field(default_factory=TrackTransformerConfig)
    text_encoder: TextEncoderConfig = field(default_factory=TextEncoderConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)
    track_weight: float = 10.0  # of the tracks' squared error, image side = 1
    image_weight: float = 1.0  # of the patches' squared error, grey levels -1 to 1
    gate_weight: float = 3.0e-4  # of the gates' squared log-sum-exp, averaged over Tra-MoE's three (1e-4 of their sum)
    masked_patches: float = 0.5  # share of image tokens hidden in training


@dataclass(frozen=True)
class Track2ActTrainConfig:
    out: str
    data: DataConfig
    optimisation: OptimisationConfig
    network: TrackDiffusionConfig = field(default_factory=TrackDiffusionConfig)
    text_encoder: TextEncoderConfig = field(default_factory=TextEncoderConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)


@dataclass(frozen=True)
class PolicyDataConfig:
    folder: str  # written by `trajforecast prepare` from the demos: their pictures and where points really went
    demos: str  # folder of the HDF5 files that these were: the actions and the joints
    cache: str  # folder for image tokens and forecasts, made once a demo
    demos_per_task: int = 10  # the first of each task's training demos
    workers: int = 0  # loader processes; all is in memory

    def __post_init__(self):
        check_at_least(1, self, "demos_per_task", group="data.")


@dataclass(frozen=True)
class PolicyTrainConfig:
    out: str
    data: PolicyDataConfig
    optimisation: OptimisationConfig
    forecaster: str = "libero_object_tiny"  # shipped name or checkpoint folder; it stays as it is
    tracks: Tracks = (
        "forecast"  # none: behaviour cloning; swapped, exact: what to compare with, see policy/checkpoint.py
    )
    track_input: TrackInputConfig = field(default_factory=TrackInputConfig)
    forecasting: ForecastingConfig = field(default_factory=ForecastingConfig)
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)
    network: PolicySizeConfig = field(default_factory=PolicySizeConfig)
    chunk: int = 16  # actions that are predicted at once
    proprioception_noise: float = 0.02  # added in training, in standard deviations of the data
    logging: LoggingConfig = field(default_factory=LoggingConfig)

    def __post_init__(self):
        check_at_least(1, self, "chunk")
        check_at_least(0, self, "proprioception_noise")
        if self.execution.every > self.chunk:
            raise ValueError(
                f"execution.every {self.execution.every}: a chunk has {self.chunk} actions; ask for a new one before they end"
            )
