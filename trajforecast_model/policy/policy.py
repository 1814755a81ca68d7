"""The door to a trained policy: pictures, joints, an instruction and a forecast in, the next actions out.

policy = Policy.from_pretrained("path")
chunk = policy.chunk({"side": rgb, "effector": rgb}, joints, fingers, "pick up the milk ...", futures)
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from trajforecast_model.forecaster import Forecaster
from trajforecast_model.policy.checkpoint import PolicyConfig, forecaster_digest, load_policy
from trajforecast_model.policy.network import PolicyNetwork
from trajforecast_model.policy.tracks import told_tracks

JOINTS, FINGERS = 7, 2


@dataclass(frozen=True)
class Futures:
    """Of one view: the medoid and the mean of the sampled futures, float32 [T, H, W, 2], pixels of the view's image."""

    medoid: np.ndarray
    mean: np.ndarray
    image_size: tuple[int, int]  # height, width


class Policy:
    """Raises ValueError where the forecaster is not the one that the policy was trained with."""

    def __init__(self, config: PolicyConfig, network: PolicyNetwork, forecaster: Forecaster):
        self.config = config
        self.forecaster = forecaster
        self._network = network.to(forecaster.device)
        found = forecaster_digest(forecaster, self.needs_tracks)
        if found != config.forecaster_weights:
            raise ValueError(
                f"the policy was trained with the forecaster {config.forecaster!r} (weights {config.forecaster_weights}), "
                f"and {forecaster.model_id!r} has others ({found}); load that one, or train the policy with this one"
            )

    @classmethod
    def from_pretrained(cls, source: str | Path, forecaster: str | Path | None = None, device: str = "cpu") -> "Policy":
        """Loads a policy and its forecaster.

        Args:
            forecaster: where its checkpoint is; None: where it was in training.

        Raises:
            ValueError: where that is no policy, or its forecaster is missing or another one.
        """
        config, network = load_policy(source)
        return cls(config, network, Forecaster.of_pictures(forecaster or config.forecaster, device))

    @property
    def needs_tracks(self) -> bool:
        return self.config.tracks != "none"

    def forecast(self, images: dict[str, np.ndarray], instruction: str, seed: int) -> dict[str, Futures]:
        """What the policy's own forecaster says, by view."""
        asked = self.config.forecasting
        views = {view: images[view] for view in self.config.views}
        forecast = self.forecaster.predict(views, instruction, asked.samples, asked.steps, seed)
        return {
            view: Futures(samples[best], mean, images[view].shape[:2])
            for view, samples, best, mean in zip(
                forecast.views, forecast.tracks, forecast.medoid, forecast.mean_track, strict=True
            )
        }

    def told(self, futures: dict[str, Futures]) -> np.ndarray:
        """What the network is told of them: float32 [V, points, features]."""
        return np.stack(
            [
                told_tracks(of.medoid, of.mean, of.image_size, self.config.track_input)
                for of in (futures[view] for view in self.config.views)
            ]
        )

    @torch.inference_mode()
    def chunk(
        self,
        images: dict[str, np.ndarray],
        joints: np.ndarray,
        fingers: np.ndarray,
        instruction: str,
        told: np.ndarray | None,
    ) -> np.ndarray:
        """The next actions, float32 [chunk, 7]: position delta, rotation delta, gripper (-1 opens, 1 closes).

        Args:
            images: RGB uint8 [H, W, 3] by view.
            joints: [7], radians. fingers: [2], metres.
            told: what `told` makes of a forecast of these images; not read by a policy without tracks.

        Raises:
            ValueError: for a view that is missing, and for readings or tracks that are not finite numbers.
        """
        if missing := [view for view in self.config.views if view not in images]:
            raise ValueError(f"no image of {' and '.join(missing)}; the policy looks at {', '.join(self.config.views)}")
        body = np.concatenate([joints, fingers]).astype(np.float32)
        if body.shape != (JOINTS + FINGERS,) or not np.isfinite(body).all():
            raise ValueError(f"joints and fingers: expected {JOINTS} and {FINGERS} finite numbers, got {body.tolist()}")
        if self.needs_tracks and not np.isfinite(told).all():
            raise ValueError("the forecast's tracks have values that are not finite numbers")
        device = self.forecaster.device
        tokens = self.forecaster.encode_images([images[view] for view in self.config.views])
        actions = self._network(
            tokens.float()[None],
            torch.from_numpy(told)[None].to(device) if self.needs_tracks else None,
            torch.from_numpy(body)[None].to(device),
            self.forecaster.encode_text([instruction]).float(),
        )
        return self._network.denormalised(actions)[0].cpu().numpy()
