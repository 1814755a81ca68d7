"""Training of TrajLoom's generator (arXiv 2603.22606): a flow of the future's latents, given those of the past.

With `on_policy` also on the states that its own solver reaches, the paper's last stage.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from trajforecast_model.checkpoint import export_within
from trajforecast_model.networks.image_encoder import build_image_encoder
from trajforecast_model.networks.text_encoder import build_text_encoder
from trajforecast_model.networks.trajloom.generator import Generator, GeneratorConfig
from trajforecast_model.training.batches import Batch, collate, spread_evenly
from trajforecast_model.training.distributed import World
from trajforecast_model.training.features.frozen import is_frozen, same_network
from trajforecast_model.training.features.image_tokens import image_tokens
from trajforecast_model.training.noise import WindowNoise
from trajforecast_model.training.stages.selection import best_error
from trajforecast_model.training.stages.vae import check_same_dt
from trajforecast_model.training.trajloom.configs import TrajloomTrainConfig
from trajforecast_model.training.trajloom.flow_losses import (
    Velocity,
    flow_times,
    noisy_latents,
    on_policy_loss,
    squared_error,
    token_weights,
    weighted,
)
from trajforecast_model.training.trajloom.trained_vae import NormalisedLatents, load_trained_vae
from trajforecast_model.training.trajloom.validation import forecast_errors
from trajforecast_model.training.trajloom.windows import (
    Tracks,
    check_fits,
    moving_cells,
    past_and_future,
    query_offset,
    windows_of,
)
from trajforecast_model.trajloom.checkpoint import (
    TrajloomConfig,
    TrajloomNetworks,
    is_kept,
    load_trajloom,
    save_trajloom,
)
from trajforecast_model.trajloom.sampling import anchored_source

_AT_ONCE = 8  # windows of a validation
_LEAST_WEIGHT = 1e-6  # so that a batch in which nothing counts is 0


class GeneratorWithEncoder(nn.Module):
    """What the run trains: the generator, and the encoder of the picture where there is one that is not frozen."""

    def __init__(self, config: TrajloomConfig):
        super().__init__()
        self.generator = Generator(config.generator)
        self.image_encoder = None if config.image_encoder is None else build_image_encoder(config.image_encoder)


class TrajloomStage:
    latent_space = None  # its windows are read with what is seen, and so with their tracks
    reads_history = True

    def __init__(self, config: TrajloomTrainConfig):
        self.config = config
        self.validation = windows_of(config.data.folder, "val")
        info = self.validation.info
        if config.start_from is not None:
            start, networks = load_trajloom(Path(export_within(config.start_from)))
            # Its dt says little: a converted official one is of videos of any rate.
            self.vae, latents = networks.vae.eval().requires_grad_(False), start.latents
            self.points = "any" if start.any_point else "corner"
        else:
            trained, self.vae = load_trained_vae(config.vae)
            latents, self.points = trained.latents, trained.points
            check_same_dt(config.vae, trained.dt, info)
        vae = self.vae.config
        check_fits(vae, info, config.data.folder, with_past=True)
        size = config.generator
        self.forecast_config = TrajloomConfig(
            vae=vae,
            generator=GeneratorConfig(
                num_frames=vae.num_frames,
                temporal_stride=vae.temporal_stride,
                cells=vae.cells.shape[0] * vae.cells.shape[1],
                channels=vae.latent_channels,
                video_channels=size.video_channels,
                text_dim=None if config.text_encoder is None else config.text_encoder.dim,
                image_dim=None if config.image_encoder is None else config.image_encoder.dim,
                image_grid=GeneratorConfig.image_grid if config.image_encoder is None else config.image_encoder.grid,
                dim=size.dim,
                depth=size.depth,
                heads=size.heads,
                fusion=size.fusion,
            ),
            latents=latents,
            text_encoder=config.text_encoder,
            image_encoder=config.image_encoder,
            dt=info.dt,
            steps=config.sampling_steps,
            solver=config.sampling_solver,
            anchor_noise=config.anchor_noise,
            point=query_offset(vae, info),
            any_point=self.points == "any",
            anchor=info.anchor,
        )
        torch.manual_seed(config.optimisation.seed)
        self.model = GeneratorWithEncoder(self.forecast_config)
        if config.start_from is not None:
            if start.generator != self.forecast_config.generator:
                raise ValueError(
                    f"start_from: the generator of {config.start_from} is {start.generator}, this config's "
                    f"{self.forecast_config.generator}; make them the same"
                )
            if not same_network(build_image_encoder, config.image_encoder, start.image_encoder):
                raise ValueError(
                    f"start_from: the image encoder of {config.start_from} is {start.image_encoder}, this config's "
                    f"{config.image_encoder}; make them the same"
                )
            self.model.generator.load_state_dict(networks.generator.state_dict())
            if networks.image_encoder is not None:
                self.model.image_encoder.load_state_dict(networks.image_encoder.state_dict())
        self.image_encoder = self.model.image_encoder
        self.latents = NormalisedLatents(self.vae, latents)
        self.text_encoder = None if config.text_encoder is None else build_text_encoder(config.text_encoder)

    @property
    def reads_instructions(self) -> bool:
        return self.text_encoder is not None

    @property
    def frozen_networks(self) -> dict[str, nn.Module]:
        encoder = self.image_encoder
        frozen = encoder if encoder is not None and is_frozen(encoder) else None
        networks = {"VAE": self.vae, "image encoder": frozen, "text encoder": self.text_encoder}
        return {name: network for name, network in networks.items() if network is not None}

    def mean_weight(self, batch: Batch) -> Tensor:
        _, future = past_and_future(
            batch, self.vae.config
        )  # their cells' first points stand for those that will be drawn
        return self._weight(batch, future, None).mean()

    def loss(
        self, model: GeneratorWithEncoder, batch: Batch, noise: WindowNoise, mean_weight: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        config, vae = self.config, self.vae.config
        draws = noise.normal(6)
        place = torch.special.ndtr(draws[:, :2]) if self.points == "any" else None
        past, future = past_and_future(batch, vae, place)
        history, data = self.latents(past.positions), self.latents(future.positions)
        weight = self._weight(batch, future, place)
        source = noise.normal(*data.shape[1:])
        if config.anchor_noise is not None:
            source = anchored_source(source, history, config.anchor_noise)
        t = flow_times(draws[:, 2:5], config.flow_times)
        z = noisy_latents(source, data, t, config.tube_noise * noise.normal(*data.shape[1:]))
        text = None if self.text_encoder is None else self.text_encoder.to(z.device)(batch.instructions)
        shown = torch.special.ndtr(draws[:, 5]) >= config.text_dropped
        image = None if model.image_encoder is None else image_tokens(batch, model.image_encoder)
        velocity = self._velocity(model.generator, past, history, text, shown, image)
        flow = squared_error(velocity(z, t), data - source, weight / mean_weight.clamp(min=_LEAST_WEIGHT))
        if config.on_policy is None:
            return flow, {"flow": flow.detach()}
        some = self._solved_windows(len(z))
        own = self._velocity(model.generator, *_first((past, history, text, shown, image), some))
        terms = on_policy_loss(
            own,
            source[:some],
            data[:some],
            weight[:some] / weight[:some].mean().clamp(min=_LEAST_WEIGHT),
            config.on_policy,
        )
        figures = {"flow": flow} | {f"on_policy_{name}": value for name, value in terms.items()}
        return flow + weighted(terms, config.on_policy), {name: value.detach() for name, value in figures.items()}

    def compile(self, model: GeneratorWithEncoder) -> None:
        if model.image_encoder is not None:
            model.image_encoder.compile()
        model.generator.history_context = torch.compile(model.generator.history_context)
        model.generator.velocity = torch.compile(model.generator.velocity)

    @torch.no_grad()
    def validate(self, model: GeneratorWithEncoder, world: World, windows: int | None = None) -> dict[str, float]:
        """MeanT and Min of moving, visible points of some val windows, px^2 summed over x and y, beside nothing moves.

        Per view. Min takes each window's best sample.
        """
        logging, sums = self.config.logging, {}
        networks = TrajloomNetworks(self.vae.to(world.device), model.generator)
        chosen = spread_evenly(len(self.validation), windows or logging.validation_windows)
        for view in self.validation.info.views:
            of_view = [index for index in chosen if self.validation.rows.view[index] == view]
            totals = {f"{view}_{name}_px2": [0.0, 0] for name in ("mean_t", "min", "nothing_moves")}
            # A window's place among all is its seed, so that its forecasts are the same on any number of ranks.
            share = list(enumerate(of_view))[world.rank :: world.size]
            for part in (share[start : start + _AT_ONCE] for start in range(0, len(share), _AT_ONCE)):
                batch = collate([self.validation[index] for _, index in part]).to(world.device)
                past, future = past_and_future(batch, self.vae.config)
                errors = forecast_errors(
                    self.forecast_config,
                    networks,
                    past,
                    future,
                    moving_cells(batch, self.vae.config),
                    k=logging.validation_samples,
                    seeds=[seed for seed, _ in part],
                    told_what_was_seen=self.config.history_visibility,
                    text=None if self.text_encoder is None else self.text_encoder.to(world.device)(batch.instructions),
                    image=None if model.image_encoder is None else image_tokens(batch, model.image_encoder),
                )
                for name, (total, count) in errors.items():
                    totals[f"{view}_{name}_px2"][0] += total
                    totals[f"{view}_{name}_px2"][1] += count
            sums |= {name: (total, count) for name, (total, count) in totals.items()}
        return world.means(sums)

    def score(self, figures: dict[str, float]) -> float:
        return best_error(figures)

    def exported(self, model: GeneratorWithEncoder) -> dict[str, nn.Module]:
        networks = {"vae.safetensors": self.vae, "generator.safetensors": model.generator}
        if is_kept(self.forecast_config.image_encoder):
            networks["image_encoder.safetensors"] = model.image_encoder
        return networks

    def export(self, model: GeneratorWithEncoder, folder: Path) -> None:
        networks = TrajloomNetworks(self.vae, model.generator, image_encoder=model.image_encoder)
        save_trajloom(self.forecast_config, networks, folder)

    def _velocity(
        self,
        generator: Generator,
        past: Tracks,
        history: Tensor,
        text: Tensor | None,
        shown: Tensor,
        image: Tensor | None,
    ) -> Velocity:
        """Of these windows; what depends on the past alone is computed once."""
        seen = past.seen_in_steps(self.vae.config) if self.config.history_visibility else None
        context = generator.history_context(history, seen, text=text, text_shown=shown, image=image)
        return lambda z, t: generator.velocity(z.unsqueeze(1), t.unsqueeze(1), context)[:, 0]

    def _weight(self, batch: Batch, future: Tracks, place: Tensor | None) -> Tensor:
        """[B, T', N]: less where a cell is hidden, more where its point moves."""
        weight = token_weights(future.seen_in_steps(self.vae.config), self.config.hidden_weight)
        if self.config.moving_weight == 1:
            return weight
        moving = moving_cells(batch, self.vae.config, place).flatten(1)[:, None]
        return weight * (1 + (self.config.moving_weight - 1) * moving)

    def _solved_windows(self, windows: int) -> int:
        """Of so many of a micro-batch, one at least."""
        return max(1, self.config.on_policy.samples * windows // self.config.optimisation.batch_size)


def _first(given: tuple[Tracks, Tensor, Tensor | None, Tensor, Tensor | None], count: int):
    past, *tensors = given
    some = Tracks(past.positions[:count], past.seen[:count])
    return some, *(None if tensor is None else tensor[:count] for tensor in tensors)
