"""TrajLoom behind the door: past tracks in, sampled futures with their visibility out.

forecaster = Forecaster.from_pretrained("folder that `trajforecast convert trajloom` wrote")
forecast = forecaster.predict_from_history({"camera": tracks}, {"camera": visible}, k=8, seed=0)
forecast.tracks, forecast.visibility  # [V, k, T, rows, columns, 2], [V, k, T, rows, columns]
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from trajforecast_model.checkpoint import checkpoint_folder, checkpoint_name, export_within
from trajforecast_model.forecast import Forecast
from trajforecast_model.images import check_image
from trajforecast_model.inference.effort import checked_effort
from trajforecast_model.networks.text_encoder import TextEncoder, build_text_encoder, warn_on_stderr
from trajforecast_model.networks.trajloom.generator import Generator
from trajforecast_model.networks.trajloom.track_vae import TrajloomVAE
from trajforecast_model.runtime.device import checked_device
from trajforecast_model.trajloom.checkpoint import TrajloomConfig, TrajloomNetworks, load_trajloom
from trajforecast_model.trajloom.past import (
    Past,
    Tracker,
    checked_past,
    followed_past,
    future_in_pixels,
    normalised_past,
    query_points,
)
from trajforecast_model.trajloom.sampling import TrajloomSampler

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class TrajloomForecaster:
    """A loaded model. Not safe for use from several threads at once. `warn` is told once what forecasts do without.

    Raises:
        ValueError: for a dtype or device that there is not.
    """

    warn: Callable[[str], None] = staticmethod(warn_on_stderr)

    def __init__(
        self,
        config: TrajloomConfig,
        networks: TrajloomNetworks,
        *,
        model_id: str = "",
        device: str | torch.device = "cpu",
        dtype: str = "float32",
        allow_download: bool = False,
    ):
        if dtype not in DTYPES:
            raise ValueError(f"dtype: got {dtype!r}, expected one of {', '.join(DTYPES)}")
        self.config = config
        self.model_id = model_id
        self.device = checked_device(device)
        self.dtype = DTYPES[dtype]
        self._sampler = TrajloomSampler(config, networks, self.device, self.dtype)
        self._allow_download = allow_download
        self._text_encoder: TextEncoder | None = None
        self._told: set[str] = set()

    @classmethod
    def from_pretrained(
        cls, source: str | Path, device: str = "cpu", dtype: str = "float32", *, allow_download: bool = False
    ) -> "TrajloomForecaster":
        """See `Forecaster.from_pretrained`."""
        folder = checkpoint_folder(source, allow_download)
        return cls(
            *load_trajloom(folder),
            model_id=checkpoint_name(export_within(source)),
            device=device,
            dtype=dtype,
            allow_download=allow_download,
        )

    def predict_from_history(
        self,
        history_tracks: dict[str, np.ndarray] | None = None,
        history_visibility: dict[str, np.ndarray] | None = None,
        *,
        videos: dict[str, np.ndarray] | None = None,
        image_sizes: dict[str, tuple[int, int]] | None = None,
        video_latents: dict[str, np.ndarray] | None = None,
        instruction: str | None = None,
        k: int = 8,
        steps: int | None = None,
        seed: int = 0,
        solver: str | None = None,
        dt: float | None = None,
        tracker: Tracker | None = None,
    ) -> Forecast:
        """Samples k futures for each view, from where its points were.

        Args:
            history_tracks: [frames, rows, columns, 2] by view name, `config.history` frames with the present one last, in
                pixels of the view's image; their points begin at `query_points`. They may lie outside, and are NaN only
                where they are not visible.
            history_visibility: [frames, rows, columns] by view name, true or above 0.5 where the point is seen. Without it
                the network is told of no point that it was seen, as in the official code's inference.
            videos: uint8 [frames, height, width, 3] by view name. Of a view without tracks the points are followed here,
                and their visibility is the tracker's.
            image_sizes: (height, width) of the image that tracks refer to, by view name; default: the video's, or else
                the model's own.
            video_latents: [latent steps, cells, channels] by view name, of Wan2.1's video VAE in its own normalisation.
            instruction: a caption of what happens.
            k: number of sampled futures. The first samples of a larger k are those of a smaller one.
            steps: solver steps, one network evaluation each (default: the checkpoint's).
            seed: same seed, same futures; views are independent of each other.
            dt: seconds between frames of the past, and so of the forecast (default: the checkpoint's); no network sees it.
            tracker: see `followed_past`.

        Returns:
            index t = 0 is the last frame of the past, as it was given; 1 + frames in all. Visibility is None without a
            visibility head, and 0 where a point is outside the image.

        Raises:
            ValueError: for what cannot be forecast, saying what to change.
        """
        started = time.perf_counter()
        tracks, visible, films = history_tracks or {}, history_visibility or {}, videos or {}
        sizes, latents = image_sizes or {}, video_latents or {}
        views = tuple(dict.fromkeys([*tracks, *films]))
        if not views:
            raise ValueError("no past given: expected history_tracks or videos of a view, e.g. {'camera': tracks}")
        for name, given in {"history_visibility": visible, "image_sizes": sizes, "video_latents": latents}.items():
            if unknown := [view for view in given if view not in views]:
                raise ValueError(f"{name}: view {unknown[0]!r} has no past; there are {', '.join(views)}")
        effort = checked_effort(self.config.steps if steps is None else steps, k)
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise ValueError(f"seed: got {seed!r}, expected a whole number of at least 0")
        dt = self.config.dt if dt is None else dt
        if not 0 < dt < float("inf"):
            raise ValueError(f"dt: got {dt!r}, expected seconds between two frames")
        text = self._text(instruction)
        pasts = []
        for view in views:
            if view in tracks:
                size = sizes.get(view) or (films[view].shape[1:3] if view in films else self.config.image_size)
                pasts.append(checked_past(view, tracks[view], visible.get(view), size, self.config))
            else:
                pasts.append(followed_past(view, films[view], self.config, tracker))
        film = self._video([latents.get(view) for view in views])
        futures = [
            self._forecast(past, view, effort.k, effort.steps, seed, solver, None if film is None else film[i], text)
            for i, (view, past) in enumerate(zip(views, pasts, strict=True))
        ]
        visibilities = [visibility for _, visibility in futures]
        return Forecast(
            views=views,
            tracks=np.stack([positions for positions, _ in futures]),
            visibility=None if visibilities[0] is None else np.stack(visibilities),
            steps=effort.steps,
            seed=seed,
            dt=dt,
            seconds=time.perf_counter() - started,
        )

    def predict(
        self,
        images: dict[str, np.ndarray],
        instruction: str | None = None,
        k: int = 8,
        steps: int | None = None,
        seed: int = 0,
        solver: str | None = None,
        *,
        history: dict[str, np.ndarray] | None = None,
    ) -> Forecast:
        """As `predict_from_history`, from the present pictures and those before.

        Args:
            images: RGB uint8 [height, width, 3] by view name.
            history: uint8 [config.history - 1, height, width, 3] by view name, the pictures before, oldest first.

        Raises:
            ValueError: for what cannot be forecast, a picture without its past first of all.
        """
        before = self.config.history - 1
        for view, image in images.items():
            check_image(image, view)
            frames = (history or {}).get(view)
            if not isinstance(frames, np.ndarray) or frames.shape != (before, *image.shape):
                came = "none" if frames is None else list(np.shape(frames))
                raise ValueError(
                    f"history of view {view!r}: got {came}, expected the {before} pictures before the present one, "
                    f"{[before, *image.shape]}: TrajLoom forecasts from the past alone"
                )
        videos = {view: np.concatenate([history[view], image[None]]) for view, image in images.items()}
        return self.predict_from_history(
            videos=videos, instruction=instruction, k=k, steps=steps, seed=seed, solver=solver
        )

    def query_points(self, image_size: tuple[int, int] | None = None) -> np.ndarray:
        """Where tracks are in the frame of `config.anchor`, float32 [rows, columns, 2], pixels of an image of that size."""
        return query_points(self.config, image_size or self.config.image_size)

    def sample_latents_with_history(
        self,
        history: Tensor,
        noise: Tensor,
        visibility: Tensor | None = None,
        video: Tensor | None = None,
        text: Tensor | None = None,
        steps: int | None = None,
        solver: str | None = None,
    ) -> Tensor:
        """See `TrajloomSampler.sample_latents_with_history`."""
        return self._sampler.sample_latents_with_history(history, noise, visibility, video, text, steps, solver)

    # The networks behind it, for those who need them.

    @property
    def vae(self) -> TrajloomVAE:
        return self._sampler.vae

    @property
    def denoiser(self) -> Generator:
        return self._sampler.generator

    @property
    def visibility_head(self) -> nn.Module | None:
        return self._sampler.visibility_head

    @property
    def latent_mean(self) -> Tensor:
        """[C], which is taken off latents."""
        return self._sampler.mean

    @property
    def latent_std(self) -> Tensor:
        """[C], by which latents are divided then."""
        return self._sampler.std

    def _forecast(
        self,
        past: Past,
        view: str,
        k: int,
        steps: int,
        seed: int,
        solver: str | None,
        video: Tensor | None,
        text: Tensor | None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Tracks [k, T, rows, columns, 2] in pixels and their visibility [k, T, rows, columns]."""
        history = self._sampler.encode_history(normalised_past(past, self.config)[None])
        noise = self._sampler.noise(history, k, seed, [view])
        visible = None if past.visible is None else torch.from_numpy(past.visible).flatten(1)[None]
        latents = self.sample_latents_with_history(history, noise, visible, video, text, steps, solver)
        decoded = self._sampler.decode(latents)[0]
        if not torch.isfinite(decoded).all():
            raise ValueError(
                f"the forecast of model {self.model_id!r} has values that are not finite; its weights are damaged, or "
                "overflow in this dtype: try float32"
            )
        future, inside = future_in_pixels(decoded, past.image_size, self.config)
        now = np.broadcast_to(past.tracks[-1], (k, 1, *past.tracks.shape[1:]))
        tracks = np.concatenate([now, future.cpu().numpy()], axis=1)
        probability = self._sampler.visible(latents)
        if probability is None:
            return tracks, None
        seen = (probability[0].unflatten(-1, self.config.grid) * inside).cpu().numpy()  # [k, frames, rows, columns]
        seen_now = np.ones(self.config.grid, bool) if past.visible is None else past.visible[-1]
        return tracks, np.concatenate(
            [np.broadcast_to(seen_now, (k, 1, *seen_now.shape)), seen], axis=1, dtype=np.float32
        )

    def _text(self, instruction: str | None) -> Tensor | None:
        """[1, E], or None where there is no caption or no encoder for it."""
        if self.config.text_encoder is None:
            if instruction is not None:
                self._tell("this model was trained without captions: text is left out")
            return None
        if instruction is None:
            self._tell("no caption was given: text is left out")
            return None
        if self._text_encoder is None:
            try:
                encoder = build_text_encoder(self.config.text_encoder, self._allow_download)
            except ValueError as error:
                self._tell(f"text is left out: {error}")
                return None
            self._text_encoder = encoder.to(self.device)
        self._text_encoder.warn = self.warn
        return self._text_encoder([instruction])

    def _video(self, latents: list[np.ndarray | None]) -> list[Tensor] | None:
        """[1, T, N, C] of each view, or None where none is given."""
        missing = [one is None for one in latents]
        if all(missing):
            self._tell("no latents of Wan2.1's video VAE were given: video is left out")
            return None
        if any(missing):
            raise ValueError("video_latents: expected those of every view, or of none")
        return [torch.as_tensor(np.asarray(one), dtype=torch.float32)[None] for one in latents]

    def _tell(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self.warn(f"{self.model_id or 'TrajLoom'}: {line}")
