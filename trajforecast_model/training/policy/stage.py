"""Training of a policy beside a frozen forecaster: behaviour cloning of chunks of actions, by squared error."""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from trajforecast_model.checkpoint import POLICY
from trajforecast_model.forecaster import Forecaster
from trajforecast_model.policy.checkpoint import WEIGHTS, PolicyConfig, forecaster_digest, save_policy
from trajforecast_model.policy.chunks import GRIPPER
from trajforecast_model.policy.network import PolicyNetwork, PolicyNetworkConfig
from trajforecast_model.training.batches import spread_evenly
from trajforecast_model.training.configs import PolicyTrainConfig
from trajforecast_model.training.distributed import World
from trajforecast_model.training.noise import WindowNoise
from trajforecast_model.training.policy.moments import MomentBatch, Moments

_VALIDATION_SHARE = 0.1  # val demos a task for each of its training demos, at least one
_LEAST_SCALE = 0.1  # of the widest number: what hardly varies, such as turning the hand about x, must not weigh as much
_AT_ONCE = 64  # moments of a validation


class PolicyStage:
    image_encoder = None  # the forecaster's, whose tokens its moments bring along
    latent_space = None
    reads_instructions = True
    reads_history = False

    def __init__(self, config: PolicyTrainConfig):
        self.config = config
        if config.tracks == "swapped" and config.optimisation.batch_size < 2 * config.optimisation.accumulate:
            raise ValueError(
                f"tracks: swapped takes them from another moment of a micro-batch, and optimisation.batch_size "
                f"{config.optimisation.batch_size} with accumulate {config.optimisation.accumulate} has one alone; raise the first"
            )
        self.forecaster = _opened(config)
        per_task = config.data.demos_per_task
        self._training = Moments(config, self.forecaster, "train", per_task)
        self.validation = Moments(config, self.forecaster, "val", max(1, round(_VALIDATION_SHARE * per_task)))
        self.data = PolicyData(self._training, self.validation)
        of_forecaster = self.forecaster.config
        with_tracks = config.tracks != "none"
        self.policy_config = PolicyConfig(
            kind=POLICY,
            network=PolicyNetworkConfig(
                size=config.network,
                views=len(of_forecaster.views),
                image_tokens=math.prod(of_forecaster.denoiser.image_grid),
                image_dim=of_forecaster.denoiser.image_dim,
                track_points=config.track_input.num_points if with_tracks else 0,
                track_features=config.track_input.features,
                text_dim=of_forecaster.text_encoder.dim,
                chunk=config.chunk,
            ),
            tracks=config.tracks,
            track_input=config.track_input,
            forecaster=config.forecaster,
            forecaster_weights=forecaster_digest(self.forecaster, with_tracks),
            forecasting=config.forecasting,
            execution=config.execution,
            views=of_forecaster.views,
            dt=of_forecaster.dt,
        )
        torch.manual_seed(config.optimisation.seed)
        self.model = PolicyNetwork(self.policy_config.network)
        self._learn_statistics()
        self._texts = {
            words: self.forecaster.encode_text([words])[0].float().clone()
            for words in dict.fromkeys(self.data.instructions)
        }

    @property
    def frozen_networks(self) -> dict[str, nn.Module]:
        networks = {"image encoder": self.forecaster.image_encoder}
        if self.config.tracks != "none":
            networks |= {"denoiser": self.forecaster.denoiser, "VAE": self.forecaster.vae}
        return {name: network for name, network in networks.items() if network is not None}

    def mean_weight(self, batch: MomentBatch) -> Tensor:
        return torch.ones((), device=batch.actions.device)

    def loss(
        self, model: PolicyNetwork, batch: MomentBatch, noise: WindowNoise, mean_weight: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        jitter = self.config.proprioception_noise * noise.normal(batch.body.shape[1]) * model.proprioception_scale
        with noise.of_dropout():
            predicted = self._predicted(model, batch, batch.body + jitter)
        return _squared_error(model, predicted, batch).mean(), {}

    def compile(self, model: PolicyNetwork) -> None:
        model.compile()

    @torch.no_grad()
    def validate(self, model: PolicyNetwork, world: World, windows: int | None = None) -> dict[str, float]:
        """Of the actions of some val moments: squared error as in training, and the share of wrong words to the fingers."""
        chosen = spread_evenly(len(self.validation), windows or self.config.logging.validation_windows)
        share = chosen[world.rank :: world.size]
        error = wrong = said = 0.0
        for start in range(0, len(share), _AT_ONCE):
            batch = self.validation.collate(share[start : start + _AT_ONCE]).to(world.device)
            predicted = self._predicted(model, batch, batch.body)
            error += _squared_error(model, predicted, batch).sum().item()
            fingers = model.denormalised(predicted)[..., GRIPPER]
            wrong += int((((fingers > 0) != (batch.actions[..., GRIPPER] > 0)) & batch.taken).sum())
            said += int(batch.taken.sum())
        return world.means({"action_error": (error, len(share)), "gripper_wrong": (wrong, int(said))})

    def score(self, figures: dict[str, float]) -> float:
        return figures["action_error"]

    def exported(self, model: PolicyNetwork) -> dict[str, nn.Module]:
        return {WEIGHTS: model}

    def export(self, model: PolicyNetwork, folder: Path) -> None:
        save_policy(self.policy_config, model, folder)

    def _predicted(self, model: PolicyNetwork, batch: MomentBatch, body: Tensor) -> Tensor:
        """[B, chunk, 7], normalised."""
        tracks = None
        if self.config.tracks != "none":
            tracks = batch.tracks.float()
            if self.config.tracks == "swapped":
                tracks = tracks.roll(1, 0)  # moments of a batch are drawn from all demos
        text = torch.stack([self._texts[words] for words in batch.instructions]).to(body.device)
        return model(batch.image_tokens.float(), tracks, body, text)

    def _learn_statistics(self) -> None:
        actions = self._training.actions[self._training.taken]
        for name, values in (("proprioception", self._training.body), ("action", actions)):
            deviation = values.std(0)
            scale = np.maximum(deviation, _LEAST_SCALE * deviation.max())
            getattr(self.model, f"{name}_mean").copy_(torch.from_numpy(values.mean(0)))
            getattr(self.model, f"{name}_scale").copy_(torch.from_numpy(scale))


class PolicyData:
    def __init__(self, training: Moments, validation: Moments):
        self._training, self._validation = training, validation
        self.num_validation = len(validation)
        self.instructions = [*training.instructions, *validation.instructions]

    def __len__(self) -> int:
        return len(self._training)

    def check(self) -> None:
        if empty := sum(not words.strip() for words in self.instructions):
            raise ValueError(
                f"{empty} moments have an empty instruction; name what is done in these demos, prepare again"
            )
        for moments in (self._training, self._validation):
            moments.check_some()

    def windows(self, world: World) -> Moments:
        for moments in (self._validation, self._training):
            moments.load(world)
        return self._training


def _squared_error(model: PolicyNetwork, predicted: Tensor, batch: MomentBatch) -> Tensor:
    """[B], of normalised actions, over those that were taken."""
    error = ((predicted.float() - model.normalised(batch.actions)) ** 2).mean(-1)
    return (error * batch.taken).sum(1) / batch.taken.sum(1)


def _opened(config: PolicyTrainConfig) -> Forecaster:
    """Raises ValueError for one that forecasts from the past alone, or reads no instruction."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    forecaster = Forecaster.of_pictures(config.forecaster, device)
    if forecaster.config.text_encoder is None:
        raise ValueError(f"forecaster: {config.forecaster} reads no instructions, by which a policy tells tasks apart")
    return forecaster
