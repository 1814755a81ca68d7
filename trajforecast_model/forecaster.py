"""The one door to a trained model: images and an instruction in, sampled futures of a dense grid of points out.

forecaster = Forecaster.from_pretrained("path or hub id", device="cuda", dtype="bfloat16")
forecast = forecaster.predict({"side": rgb, "effector": rgb}, instruction="put the bowl on the plate", k=8, seed=0)
forecast.tracks  # float32 [V, k, T, H, W, 2], pixels of each view's image
"""

import math
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from trajforecast_model.checkpoint import (
    ForecastConfig,
    build_denoiser,
    build_vae,
    build_visibility_head,
    checkpoint_folder,
    checkpoint_name,
    export_within,
    load_config,
    load_weights,
)
from trajforecast_model.flow.noise import check_seed
from trajforecast_model.forecast import Forecast
from trajforecast_model.images import check_image, check_views
from trajforecast_model.inference import budget
from trajforecast_model.inference.budget import Effort
from trajforecast_model.inference.encoding import Encoders
from trajforecast_model.inference.loaded_model import LoadedModel
from trajforecast_model.inference.past import (
    at_steps,
    check_frames,
    check_history,
    check_views_of_past,
    followed_back,
    joined,
    past_tracks,
)
from trajforecast_model.inference.sampling import Sampler, to_pixels
from trajforecast_model.networks.denoiser import Denoiser
from trajforecast_model.networks.history_encoder import PastTracks
from trajforecast_model.networks.image_encoder import build_image_encoder
from trajforecast_model.networks.text_encoder import TextEncoder
from trajforecast_model.networks.track_vae import TrackVAE
from trajforecast_model.networks.visibility_head import VisibilityHead
from trajforecast_model.tracks.grid import query_points, rescale
from trajforecast_model.tracks.history import History
from trajforecast_model.trajloom.checkpoint import is_trajloom
from trajforecast_model.trajloom.forecaster import TrajloomForecaster


class Forecaster(LoadedModel):
    """A loaded model. Not safe for use from several threads at once. `warn` is told of words that it does not understand.

    Raises:
        ValueError: for a dtype or device that there is not, and for a checkpoint that generates something else.
    """

    generates = "tracks"
    sampler = Sampler

    def __init__(
        self,
        config: ForecastConfig,
        denoiser: Denoiser,
        vae: TrackVAE | None,
        image_encoder: nn.Module | None = None,
        text_encoder: TextEncoder | None = None,
        visibility_head: VisibilityHead | None = None,
        *,
        model_id: str = "",
        device: str | torch.device = "cpu",
        dtype: str = "float32",
        allow_download: bool = False,
    ):
        super().__init__(model_id, device, dtype)
        if config.generates != self.generates:
            raise ValueError(
                f"the checkpoint generates {config.generates}, not {self.generates}: it is an ablation for `trajforecast "
                "evaluate` alone"
            )
        self.config = config
        self._encoders = Encoders(config, self.device, self.dtype, image_encoder, text_encoder, allow_download)
        self._sampler = self.sampler(config, denoiser, vae, self.device, self.dtype, visibility_head)

    @classmethod
    def from_pretrained(
        cls, source: str | Path, device: str = "cpu", dtype: str = "float32", *, allow_download: bool = False
    ) -> "Forecaster | TrajloomForecaster":
        """Loads a checkpoint: a folder, a training run's, the name of a shipped one, or a hub id in the local hub cache.

        One of TrajLoom (`trajforecast convert trajloom`) becomes a `TrajloomForecaster`, which forecasts from the past.

        Args:
            allow_download: fetch a hub id and the encoders' weights where they are not on this machine.

        Raises:
            ValueError: where that is no checkpoint, or its weights do not fit its config.
        """
        folder = checkpoint_folder(source, allow_download)
        if is_trajloom(folder) and cls.generates == "tracks":
            return TrajloomForecaster.from_pretrained(source, device, dtype, allow_download=allow_download)
        config = load_config(folder)
        image_encoder = None
        if config.image_encoder.kind == "patch":
            image_encoder = build_image_encoder(config.image_encoder)
            load_weights(image_encoder, folder / "image_encoder.safetensors")
        return cls(
            config,
            build_denoiser(config, folder),
            build_vae(config, folder),
            image_encoder,
            visibility_head=build_visibility_head(config, folder),
            model_id=checkpoint_name(export_within(source)),
            device=device,
            dtype=dtype,
            allow_download=allow_download,
        )

    @classmethod
    def of_pictures(
        cls, source: str | Path, device: str = "cpu", dtype: str = "float32", *, allow_download: bool = False
    ) -> "Forecaster":
        """As `from_pretrained`, for those who show it pictures alone. Raises ValueError for a checkpoint of TrajLoom, too."""
        loaded = cls.from_pretrained(source, device, dtype, allow_download=allow_download)
        if isinstance(loaded, TrajloomForecaster):
            raise ValueError(
                f"checkpoint {source} is of TrajLoom, which forecasts from the past alone; take one that forecasts from a "
                "picture"
            )
        return loaded

    def predict(
        self,
        images: dict[str, np.ndarray],
        instruction: str | None = None,
        k: int = 8,
        steps: int | None = None,
        seed: int = 0,
        solver: str | None = None,
        deadline_ms: float | None = None,
        history: dict[str, np.ndarray] | None = None,
        history_stamps: dict[str, np.ndarray] | None = None,
        history_tracks: dict[str, History] | None = None,
    ) -> Forecast:
        """Samples k futures for each view.

        Args:
            images: RGB uint8 [H, W, 3] by view name; any size, which is resized for the networks.
            instruction: what the robot is told to do; None only for a model without text.
            k: number of sampled futures. The first samples of a larger k are those of a smaller one.
            steps: solver steps, one network evaluation each (default: the checkpoint's).
            seed: same seed, same futures; views are independent of each other.
            deadline_ms: milliseconds that this call may take. `steps` and `k` are then the most that is wanted: as many
                steps as fit, at least two; if two are too many, fewer samples, at least one (compiled networks are made
                for one k and keep it). Where even that takes longer it is done all the same, and the forecast's `late`
                says so. Costs are measured by `calibrate`, or by the first such call, which is late then; summaries of
                the forecast are not counted.
            history: for a model with history (`history_frames` above 0), the frames before a view's image, uint8
                [n, H, W, 3], `dt` apart and oldest first; its grid is followed back through them by OpenCV. Views
                without any are forecast from the present alone; more frames than the model takes are no use.
            history_stamps: when the frames of `history` were taken, seconds since the image and so below zero, where that
                is not every `dt`; of the views named here, those nearest to the model's steps are taken.
            history_tracks: instead of frames, where the query points were, [1, n, H, W, 2] pixels of the view's image,
                oldest first, and which are seen.

        Raises:
            ValueError: for what cannot be forecast, saying what to change.
        """
        started = budget.clock()
        check_views(images, self.config.views)
        views = tuple(images)
        effort = self._effort(steps, k)
        if deadline_ms is not None:
            effort = self._effort_within(deadline_ms, started, effort, len(views), instruction, solver)
        past = self._past(images, history or {}, history_stamps or {}, history_tracks or {})
        begun = budget.clock()
        num_views = len(views)
        tracks, visibility = self._forecast(
            list(images.values()),
            [instruction] * num_views,
            effort.k,
            effort.steps,
            [seed] * num_views,
            list(views),
            solver,
            past,
        )
        ended = budget.clock()
        if deadline_ms is not None:
            self._deadlines.note(num_views, effort, ended - begun)
        return Forecast(
            views=views,
            tracks=tracks,
            visibility=visibility,
            steps=effort.steps,
            seed=seed,
            dt=self.config.dt,
            seconds=ended - started,
            deadline_ms=deadline_ms,
        )

    def predict_batch(
        self,
        images: np.ndarray,
        instructions: list[str | None],
        k: int,
        steps: int | None,
        seeds: list[int],
        solver: str | None = None,
        history: History | None = None,
    ) -> np.ndarray:
        """Samples k futures for each of many moments, one view each.

        Args:
            images: RGB uint8 [B, H, W, 3].
            history: of a model that takes one, in pixels of the images; None where nothing is known of the past.

        Returns:
            float32 [B, k, T, H, W, 2], pixels of the images.
        """
        return self.forecast_batch(images, instructions, k, steps, seeds, solver, history)[0]

    def forecast_batch(
        self,
        images: np.ndarray,
        instructions: list[str | None],
        k: int,
        steps: int | None,
        seeds: list[int],
        solver: str | None = None,
        history: History | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """As `predict_batch`, and beside the tracks how likely each point is seen, [B, k, T, H, W], or None."""
        past = None
        if history is not None:
            self._check_takes_history()
            check_history(history, len(images), self.config.grid)
            past = past_tracks(history, images.shape[1:3], self.config.denoiser.history)
        return self._forecast(list(images), instructions, k, steps, seeds, [""] * len(images), solver, past)

    def warm_up(self, views: list[str], k: int = 8, steps: int | None = None) -> None:
        """Makes a forecast of nothing in particular: the first one is slow (allocation, kernel choice, compiling)."""
        gray = np.full((*self.config.image_size, 3), 128, dtype=np.uint8)
        self.predict(dict.fromkeys(views, gray), "warm up", k=k, steps=steps, seed=0)

    def release(self) -> None:
        """Gives the networks' memory back; nothing can be forecast afterwards."""
        self._encoders = None
        super().release()

    @property
    def history_frames(self) -> int:
        """The most past frames that a forecast can use; 0 for a model of the present alone."""
        history = self.config.denoiser.history
        return 0 if history is None else history.frames

    @property
    def needs_history(self) -> bool:
        """Whether nothing is forecast of a view without all of its past."""
        return False

    @property
    def needs_instruction(self) -> bool:
        return self.config.text_encoder is not None

    @property
    def temperature(self) -> float:
        """Standard deviation of the noise that samples start from: above 1 they differ more. The checkpoint's, unless set."""
        return self._sampler.temperature

    @temperature.setter
    def temperature(self, temperature: float) -> None:
        self._sampler.temperature = temperature

    # The networks behind it, for those who need them.

    @property
    def image_encoder(self) -> nn.Module:
        return self._encoders.image_encoder

    @property
    def denoiser(self) -> Denoiser:
        return self._sampler.denoiser

    @property
    def vae(self) -> TrackVAE | None:
        return self._sampler.vae

    @property
    def latent_std(self) -> Tensor:
        """[C], by which latents are divided."""
        return self._sampler.latent_std

    def encode_images(self, images: list[np.ndarray]) -> Tensor:
        """Image tokens [B, M, D] of RGB uint8 images of any size."""
        return self._encoders.encode_images(images)

    def encode_text(self, instructions: list[str | None]) -> Tensor | None:
        """Text embeddings [B, E], or None for a model without text."""
        return self._encoders.encode_text(instructions, self.warn)

    def first_frame(self, image_tokens: Tensor) -> Tensor:
        """See `Sampler.first_frame`."""
        return self._sampler.first_frame(image_tokens)

    def sample_latents(
        self,
        image_tokens: Tensor,
        text_embedding: Tensor | None,
        noise: Tensor,
        steps: int | None = None,
        solver: str | None = None,
        first: Tensor | None = None,
        past: PastTracks | None = None,
    ) -> Tensor:
        """See `Sampler.sample_latents`."""
        return self._sampler.sample_latents(image_tokens, text_embedding, noise, steps, solver, first, past)

    def decode_latents(self, latents: Tensor, image_tokens: Tensor) -> Tensor:
        """See `Sampler.decode_latents`."""
        return self._sampler.decode_latents(latents, image_tokens)

    def _forecast(
        self,
        images: list[np.ndarray],
        instructions: list[str | None],
        k: int,
        steps: int | None,
        seeds: list[int],
        streams: list[str],
        solver: str | None,
        past: PastTracks | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """float32 [B, k, T, H, W, 2], each image's in its own pixels, and [B, k, T, H, W], see `Forecast`."""
        for stream, image in zip(streams, images, strict=True):
            check_image(image, stream or "image")
        effort = self._effort(steps, k)
        for seed in seeds:
            check_seed(seed)
        text = self.encode_text(instructions)
        image_tokens = self.encode_images(images)
        known = self._sampler.known_frame(images, image_tokens)
        noise = self._sampler.noise(k, seeds, streams)  # 7 ms for the paper's B, while a GPU still encodes the images
        latents = self.sample_latents(image_tokens, text, noise, effort.steps, solver, known, past)
        sizes = [image.shape[:2] for image in images]
        pixels = to_pixels(self.decode_latents(latents, image_tokens), sizes)
        is_finite = math.isfinite(pixels.sum())  # one number tells: NaN and infinity survive a sum
        tracks, seen = pixels.cpu().numpy(), self._sampler.visibility(latents, image_tokens)
        if self.config.anchor_first_frame:
            for samples, size in zip(tracks, sizes, strict=True):
                samples[:, 0] = _query_points_at(self.config.grid, self.config.image_size, size)
        self._check_finite(is_finite)
        return tracks, None if seen is None else seen.cpu().numpy()

    def _forecast_nothing(self, num_views: int, effort: Effort, solver: str | None) -> None:
        blank = [np.zeros((*self.config.image_size, 3), dtype=np.uint8)] * num_views
        self._forecast(blank, ["stay"] * num_views, effort.k, effort.steps, [0] * num_views, [""] * num_views, solver)

    def _encode_instruction(self, instruction: str | None) -> None:
        self.encode_text([instruction])

    def _past(
        self,
        images: dict[str, np.ndarray],
        history: dict[str, np.ndarray],
        stamps: dict[str, np.ndarray],
        tracks: dict[str, History],
    ) -> PastTracks | None:
        """Of every view, one of which nothing is seen where none is given; None where none is given at all."""
        check_views_of_past(images, history, stamps, tracks)
        if not history and not tracks:
            return None
        self._check_takes_history()
        return joined([self._past_of(view, image, history, stamps, tracks) for view, image in images.items()])

    def _past_of(self, view: str, image: np.ndarray, history: dict, stamps: dict, tracks: dict) -> PastTracks:
        config, grid = self.config.denoiser.history, self.config.grid
        if view in tracks:
            known = History(*(np.asarray(part) for part in tracks[view]))
            check_history(known, 1, grid)
            # The grid is that of the model's images: of larger ones its points are not the centres of every n-th pixel.
            size = self.config.image_size
            return past_tracks(History(rescale(known.tracks, image.shape[:2], size), known.visible), size, config)
        if view not in history:
            nothing = History(np.zeros((1, 0, *grid, 2), np.float32), np.zeros((1, 0, *grid), bool))
            return past_tracks(nothing, image.shape[:2], config)
        check_image(image, view)
        frames = history[view]
        check_frames(view, frames, image)
        size = self.config.image_size
        if view not in stamps:
            return past_tracks(followed_back(image, frames[-config.frames :], grid, size), size, config)
        frames, there = at_steps(frames, stamps[view], self.config.dt, config.frames, view)
        past = followed_back(image, frames, grid, size)
        return past_tracks(History(past.tracks, past.visible & there[:, None, None]), size, config)

    def _check_takes_history(self) -> None:
        if not self.history_frames:
            raise ValueError(
                f"history: the model {self.model_id!r} sees the present alone; leave the history out, or load a model with "
                "history"
            )


@lru_cache(8)  # a forecast would take 0.1 ms to compute them again, for each view
def _query_points_at(grid: tuple[int, int], image_size: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """[H, W, 2], pixels of an image of `size` (height, width)."""
    return rescale(query_points(grid, image_size), image_size, size)
