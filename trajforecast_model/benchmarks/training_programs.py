"""The training steps that `bench training` times: ours, as it is and recorded as a CUDA graph, and the official one."""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from trajforecast_model.benchmarks.libero_models import forecaster_of_official
from trajforecast_model.benchmarks.official import OfficialForecaster
from trajforecast_model.checkpoint import ForecastConfig
from trajforecast_model.networks.denoiser import Denoiser
from trajforecast_model.networks.track_vae import TrackVAE
from trajforecast_model.runtime.cuda_graphs import graphed
from trajforecast_model.training.batches import Batch
from trajforecast_model.training.configs import OptimisationConfig
from trajforecast_model.training.noise import WindowNoise
from trajforecast_model.training.stages.flow_matching import LatentSpace, flow_matching_loss
from trajforecast_model.training.state import TrainingState

LEARNING_RATE = 6e-5
CLIP_NORM = 1.0

Step = Callable[[], float]  # returns the loss: mean squared error of the velocity in the unknown frames


def prepare_ours(source: Path, config: ForecastConfig, batch: int, device: str, precision: str) -> Step:
    """A step of training/loop.py from image tokens, as they come from a feature cache."""
    return _prepare_ours(source, config, batch, device, precision, recorded=False)


def prepare_recorded(source: Path, config: ForecastConfig, batch: int, device: str, precision: str) -> Step:
    """The same with forward and backward as a CUDA graph, recorded by its first call.

    The optimiser stays outside: its few kernels are started while the graph still runs, and its rate changes with the step.
    """
    return _prepare_ours(source, config, batch, device, precision, recorded=True)


def _prepare_ours(
    source: Path, config: ForecastConfig, batch: int, device: str, precision: str, recorded: bool
) -> Step:
    official = OfficialForecaster(source, config, "cpu", torch.float32)
    forecaster = forecaster_of_official(config, official.denoiser_weights, official.vae_weights, device, "float32")
    del official
    device, denoiser = forecaster.device, forecaster.denoiser.train().requires_grad_(True)
    loss_of_noise = training_loss(denoiser, forecaster.vae, batch, device, config)
    state = TrainingState(denoiser, OptimisationConfig(steps=1, batch_size=batch), settings={}, weights={})

    def forward_and_backward(*normals: Tensor) -> Tensor:
        denoiser.zero_grad(set_to_none=False)  # gradients stay where a replay finds them, too
        # Casts that autocast keeps would outlive the recording that made them.
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16", cache_enabled=not recorded):
            loss = loss_of_noise(*normals)
        loss.backward()
        return loss.detach()

    if recorded:
        forward_and_backward = graphed(forward_and_backward)

    def step() -> float:
        noise = WindowNoise(0, state.step, range(batch), device)
        loss = forward_and_backward(*(noise.normal(*shape) for shape in noise_shapes(config)))
        nn.utils.clip_grad_norm_(state.parameters, CLIP_NORM)
        state.update(LEARNING_RATE)
        return loss.item()  # waits for a GPU

    return step


def training_loss(
    denoiser: Denoiser, vae: TrackVAE, batch: int, device: torch.device, config: ForecastConfig
) -> Callable[..., Tensor]:
    """The loss of random windows as a function of the noise of `noise_shapes`, [B, *shape] each."""
    space = LatentSpace(vae, config.latent_std)
    tracks, tokens, text = _inputs(config, batch, device)
    windows = Batch(images=torch.empty(0), tracks=tracks, instructions=[])
    return lambda *normals: flow_matching_loss(denoiser, space, windows, tokens, text, _DrawnNoise(normals))


def noise_shapes(config: ForecastConfig) -> list[tuple[int, ...]]:
    """Of a window, in the order in which the loss draws it: for the posterior, the flow's start and its time."""
    latents = (config.vae.latent_frames, config.vae.latent_channels, *config.vae.latent_grid)
    return [latents, (1, *latents), (1,)]


class _DrawnNoise:
    """In place of WindowNoise: drawn before, since a recorded step would replay the seeds it was recorded with."""

    def __init__(self, normals: tuple[Tensor, ...]):
        self._normals = iter(normals)

    def normal(self, *shape: int) -> Tensor:
        drawn = next(self._normals)
        return drawn.view(len(drawn), *shape)


def cost_of_training_step(config: ForecastConfig, batch: int) -> tuple[int, int]:
    """FLOPs and bytes of our step, on shapes alone: nothing is computed.

    Bytes are those of the weights, float32: of the denoiser's read forwards, backwards and by the update, and written;
    its gradients, their two moments and the average of the weights read and written; the VAE's read.
    """
    meta = torch.device("meta")
    with meta:
        denoiser, vae = Denoiser(config.denoiser), TrackVAE(config.vae)
    loss_of_noise = training_loss(denoiser, vae.to(meta).requires_grad_(False), batch, meta, config)
    normals = [torch.empty(batch, *shape, device=meta) for shape in noise_shapes(config)]
    with FlopCounterMode(display=False) as counter:
        loss_of_noise(*normals).backward()
    trained, frozen = (sum(parameter.numel() for parameter in network.parameters()) for network in (denoiser, vae))
    return counter.get_total_flops(), 4 * (12 * trained + frozen)


def prepare_official(source: Path, config: ForecastConfig, batch: int, device: str, precision: str) -> Step:
    """The steps of its LIBERO training: latents in float32, the denoiser under autocast, every gradient looked at."""
    official = OfficialForecaster(source, config, device, torch.float32)
    del official.denoiser_weights, official.vae_weights
    denoiser, vae, gamma = official.denoiser.train().requires_grad_(True), official.vae, official.gamma
    tracks, tokens, text = _inputs(config, batch, official.device)
    static = official.static_tracks.expand(batch, -1, -1, -1, -1)
    optimiser = torch.optim.AdamW(denoiser.parameters(), lr=LEARNING_RATE)
    frames = config.num_frames

    @torch.no_grad()
    def latents(of: Tensor) -> Tensor:
        return vae.encode(of, tokens).rsample().unflatten(2, config.denoiser.grid).movedim(-1, 2) * gamma

    def step() -> float:
        first, data = latents(static)[:, 0], latents((2 * tracks / config.image_size[0] - 1).movedim(-1, 2))
        noise, t = torch.randn_like(data), torch.sigmoid(torch.randn(batch)).to(data.device)
        at = t.view(-1, 1, 1, 1, 1)
        x, flow = (1 - at) * noise + at * data, data - noise
        x[:, 0] = first
        mask = torch.ones_like(data)
        mask[:, 0] = 0
        with torch.autocast(official.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            loss = F.mse_loss(mask * denoiser(x, t, tokens, text), mask * flow, reduction="none").mean()
        loss.backward()
        for parameter in denoiser.parameters():
            if parameter.grad is not None:
                parameter.grad.norm(2).item()
                torch.isnan(parameter.grad).any().item()
                torch.isinf(parameter.grad).any().item()
                parameter.grad = torch.nan_to_num(parameter.grad, nan=0.0, posinf=0.0, neginf=0.0)
        nn.utils.clip_grad_norm_(denoiser.parameters(), CLIP_NORM)
        optimiser.step()
        optimiser.zero_grad()
        return loss.item() * frames / (frames - 1)  # it averages over the known frame, too, whose error is zero

    return step


def _inputs(config: ForecastConfig, batch: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Tracks [B, T, H, W, 2] in pixels, image tokens [B, M, D], text [B, E]."""
    generator = torch.Generator().manual_seed(0)
    denoiser = config.denoiser
    tokens = denoiser.image_grid[0] * denoiser.image_grid[1]
    return (
        (torch.rand(batch, config.num_frames, *config.grid, 2, generator=generator) * config.image_size[0]).to(device),
        torch.randn(batch, tokens, denoiser.image_dim, generator=generator).to(device),
        torch.randn(batch, denoiser.text_dim, generator=generator).to(device),
    )
