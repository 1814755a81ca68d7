"""Training of a few-step student: a copy of a trained denoiser learns to reach in few evaluations what it reaches in many.

The teacher solves its flow from noise to latents, and pairs of noise and solution are what the student learns from:

endpoint: the student's own few solver steps, unrolled, have to end where the teacher's solution ends. This is progressive
    distillation (Salimans and Ho 2022) in one stride. It serves the one number of steps that it was trained with.
reflow: the student learns the flow on the straight line from the noise to its solution (rectified flow, Liu et al. 2023,
    applied twice). Such a flow bends less and so loses less in few steps, whatever their number.
"""

import copy
import dataclasses
from pathlib import Path

import torch
from torch import Tensor, nn

from trajforecast_model.checkpoint import ForecastConfig, export_within, load_config, load_weights
from trajforecast_model.flow.path import Velocity, flow_loss, interpolate, logit_normal_timesteps
from trajforecast_model.flow.solvers import check_solver, integrate
from trajforecast_model.networks.denoiser import Denoiser, ImageContext
from trajforecast_model.training.batches import Batch
from trajforecast_model.training.configs import DenoiserSizeConfig, DenoiserTrainConfig, StudentTrainConfig
from trajforecast_model.training.features.image_tokens import image_tokens
from trajforecast_model.training.noise import WindowNoise
from trajforecast_model.training.past import PastConfig
from trajforecast_model.training.stages.denoiser import DenoiserStage, DenoiserWithEncoder


class StudentStage(DenoiserStage):
    """The training of a denoiser that starts from its teacher's weights, with the teacher's solutions as the data.

    VAE and image encoder are the teacher's and stay as they are. The data's tracks only tell what moves.
    """

    def __init__(self, config: StudentTrainConfig):
        check_solver(config.teacher_solver)
        super().__init__(_training_from_teacher(config))
        self.distillation = config
        self._check_data(load_config(Path(export_within(config.teacher))))
        self.model.image_encoder.requires_grad_(False)
        self.latent_space = None  # the data's tracks are not encoded
        self.teacher = copy.deepcopy(self.model.denoiser).eval().requires_grad_(False)
        if config.start_from is not None:
            self._go_on_from(Path(export_within(config.start_from)))

    @property
    def frozen_networks(self) -> dict[str, nn.Module]:
        return super().frozen_networks | {"teacher": self.teacher}

    def loss(
        self, model: DenoiserWithEncoder, batch: Batch, noise: WindowNoise, mean_weight: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        distillation, draws = self.distillation, self.config.draws_per_window
        with torch.no_grad():
            tokens = image_tokens(batch, model.image_encoder)
            text = None if self.text_encoder is None else self.text_encoder.to(tokens.device)(batch.instructions)
            first = self.space.first_frame(batch, tokens)[:, None].expand(-1, draws, -1, -1, -1, -1)
            start = noise.normal(draws, self.forecast_config.denoiser.num_frames, *first.shape[3:])
            start = torch.cat([first, start[:, :, 1:]], dim=2)  # [B, draws, T, C, h, w]
            past = self._past(batch, tokens, noise)
            teacher = self.teacher.to(tokens.device)
            by_teacher = _velocity(teacher, teacher.image_context(tokens, text, past))
            solution = integrate(by_teacher, start, distillation.teacher_steps, distillation.teacher_solver)

        context = model.denoiser.image_context(tokens, text, past)
        weight = (self._weight(batch) / mean_weight)[:, None]
        if distillation.method == "endpoint":
            by_student = _velocity(model.denoiser, context)
            reached = integrate(by_student, start, distillation.sampling_steps, distillation.sampling_solver)
            return (weight * (reached - solution)[:, :, 1:] ** 2).mean(), {}
        t = logit_normal_timesteps(noise.normal(draws))
        x = interpolate(*(part.flatten(0, 1) for part in (start, solution, first)), t.flatten()).view_as(start)
        velocity = model.denoiser.velocity(x, t, context)
        weight = weight.expand(-1, draws, -1, -1, -1, -1).flatten(0, 1)
        return flow_loss(*(part.flatten(0, 1) for part in (velocity, start, solution)), weight), {}

    def _check_data(self, teacher: ForecastConfig) -> None:
        """The solutions are the teacher's, so their time step and views have to be what the student's export says."""
        for name in ("dt", "views"):
            ours, theirs = getattr(self.forecast_config, name), getattr(teacher, name)
            if ours != theirs:
                raise ValueError(
                    f"data.folder: {self.config.data.folder} has {name} {ours}, the teacher's is {theirs}; prepare data as "
                    "the teacher's was"
                )

    def _go_on_from(self, folder: Path) -> None:
        ours, theirs = self.forecast_config.denoiser, load_config(folder).denoiser
        if ours != theirs:
            raise ValueError(
                f"start_from: {folder} is no student of this teacher; its denoiser is {theirs}, not {ours}"
            )
        load_weights(self.model.denoiser, folder / "denoiser.safetensors")

    def compile(self, model: DenoiserWithEncoder) -> None:
        super().compile(model)
        self.teacher.velocity = torch.compile(self.teacher.velocity)


def _velocity(denoiser: Denoiser, context: ImageContext) -> Velocity:
    """Velocity of [B, draws, T, C, h, w] at a scalar time: zero in the known first frame, which thereby stays."""

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        unknown = denoiser.velocity(x, t.expand(len(x), 1), context)[:, :, 1:].float()
        return torch.cat([torch.zeros_like(x[:, :, :1]), unknown], dim=2)

    return velocity


def _training_from_teacher(config: StudentTrainConfig) -> DenoiserTrainConfig:
    """The training of a denoiser of the teacher's make, from the teacher's weights."""
    teacher = load_config(Path(export_within(config.teacher)))
    past = teacher.denoiser.history
    sizes = {field.name: getattr(teacher.denoiser, field.name) for field in dataclasses.fields(DenoiserSizeConfig)}
    return DenoiserTrainConfig(
        out=config.out,
        data=config.data,
        optimisation=config.optimisation,
        start_from=config.teacher,
        target=teacher.generates,
        denoiser=DenoiserSizeConfig(**sizes),
        history=None if past is None else PastConfig(past.frames, past.pooling, past.depth, past.last_motion),
        image_encoder=teacher.image_encoder,
        text_encoder=teacher.text_encoder,
        logging=config.logging,
        draws_per_window=config.draws_per_window,
        moving_weight=config.moving_weight,
        stored_dtype=config.stored_dtype,
        sampling_steps=config.sampling_steps,
        sampling_solver=config.sampling_solver,
        anchor_first_frame=teacher.anchor_first_frame,
    )
