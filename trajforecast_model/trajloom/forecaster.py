"""TrajLoom behind the door: past tracks in, sampled futures with their visibility out.

forecaster = Forecaster.from_pretrained("folder that `trajforecast convert trajloom` wrote")
forecast = forecaster.predict_from_history({"camera": tracks}, {"camera": visible}, k=8, seed=0)
forecast.tracks, forecast.visibility  # [V, k, T, rows, columns, 2], [V, k, T, rows, columns]
"""

import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from trajforecast_model.checkpoint import checkpoint_folder, checkpoint_name, export_within
from trajforecast_model.flow.noise import check_seed
from trajforecast_model.forecast import Forecast
from trajforecast_model.images import check_image, check_views
from trajforecast_model.inference import budget
from trajforecast_model.inference.budget import Effort
from trajforecast_model.inference.encoding import Encoders
from trajforecast_model.inference.loaded_model import LoadedModel
from trajforecast_model.inference.past import check_views_of_past
from trajforecast_model.networks.text_encoder import TextEncoder, build_text_encoder
from trajforecast_model.networks.trajloom.generator import Generator
from trajforecast_model.networks.trajloom.track_vae import TrajloomVAE
from trajforecast_model.tracks.history import History
from trajforecast_model.trajloom.checkpoint import TrajloomConfig, TrajloomNetworks, load_trajloom
from trajforecast_model.trajloom.dense import PointsOfCells
from trajforecast_model.trajloom.past import (
    Past,
    Tracker,
    checked_past,
    followed_past,
    future_in_pixels,
    given_past,
    normalised_past,
    pictured_past,
    query_points,
    resting_past,
)
from trajforecast_model.trajloom.sampling import TrajloomSampler


class TrajloomForecaster(LoadedModel):
    """A loaded model. Not safe for use from several threads at once. `warn` is told once what forecasts do without.

    Raises:
        ValueError: for a dtype or device that there is not.
    """

    needs_history = True  # see `Forecaster.needs_history`
    needs_instruction = False  # a caption counts where there is one

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
        super().__init__(model_id, device, dtype)
        self.config = config
        self._sampler = TrajloomSampler(config, networks, self.device, self.dtype)
        self._pictures = Encoders(
            config, self.device, self.dtype, networks.image_encoder, allow_download=allow_download
        )
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
        images: dict[str, np.ndarray] | None = None,
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
            images: the present pictures, RGB uint8 [height, width, 3] by view name; default: the videos' last. A model that
                looks at the picture needs them, see `config.image_encoder`.
            image_sizes: (height, width) of the image that tracks refer to, by view name; default: the picture's, the
                video's, or else the model's own.
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
        started = budget.clock()
        tracks, visible, films = history_tracks or {}, history_visibility or {}, videos or {}
        sizes, latents, pictures = image_sizes or {}, video_latents or {}, images or {}
        views = tuple(dict.fromkeys([*tracks, *films]))
        if not views:
            raise ValueError("no past given: expected history_tracks or videos of a view, e.g. {'camera': tracks}")
        of_views = {"history_visibility": visible, "images": pictures, "image_sizes": sizes, "video_latents": latents}
        for name, given in of_views.items():
            if unknown := [view for view in given if view not in views]:
                raise ValueError(f"{name}: view {unknown[0]!r} has no past; there are {', '.join(views)}")
        effort = self._effort(steps, k)
        check_seed(seed)
        dt = self.config.dt if dt is None else dt
        if not 0 < dt < float("inf"):
            raise ValueError(f"dt: got {dt!r}, expected seconds between two frames")
        pasts = {}
        for view in views:
            if view in tracks:
                picture = pictures.get(view, films[view][-1] if view in films else None)
                if picture is not None:
                    check_image(picture, view)
                size = sizes.get(view) or (self.config.image_size if picture is None else picture.shape[:2])
                past = checked_past(view, tracks[view], visible.get(view), size, self.config)
                pasts[view] = dataclasses.replace(past, picture=picture)
            else:
                pasts[view] = followed_past(view, films[view], self.config, tracker)
        video = self._video([latents.get(view) for view in views])
        return self._predicted(pasts, instruction, effort, seed, solver, dt, started, video=video)

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
        """As `Forecaster.predict`, of views that have all of their past; captions count where they are given.

        Args:
            images: RGB uint8 [height, width, 3] by view name, of any name.
            deadline_ms: see `Forecaster.predict`.
            history: uint8 [n, height, width, 3] by view name, the pictures before, `dt` apart and oldest first; the newest
                `history_frames` count, and as many there must be.
            history_stamps: see `Forecaster.predict`; every step of `dt` needs a picture within half a step.
            history_tracks: instead of pictures, where the points were, [1, config.history, rows, columns, 2] pixels of the
                view's image, the present frame last, and which are seen.

        Raises:
            ValueError: for what cannot be forecast, a picture without its past first of all.
        """
        started = budget.clock()
        history, stamps, tracks = history or {}, history_stamps or {}, history_tracks or {}
        check_views(images)
        check_views_of_past(images, history, stamps, tracks)
        effort = self._effort(steps, k)
        check_seed(seed)
        pasts = {}
        for view, image in images.items():
            check_image(image, view)
            if view in tracks:
                pasts[view] = given_past(view, tracks[view], image, self.config)
            else:
                pasts[view] = pictured_past(view, image, history.get(view), stamps.get(view), self.config)
        return self._predicted(
            pasts, instruction, effort, seed, solver, self.config.dt, started, deadline_ms=deadline_ms
        )

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
        """Samples k futures for each of many moments, one view each, of as many points a cell as the past has.

        Args:
            images: RGB uint8 [B, H_image, W_image, 3], of which a model that looks at no picture takes the size alone.
            history: of the present grid of H x W points, in pixels of the images, see `PointsOfCells`.

        Returns:
            tracks float32 [B, k, T, H, W, 2], pixels of the images, and how likely each point is seen, [B, k, T, H, W], or
            None. What is random is the same for all points of a cell.
        """
        points = PointsOfCells(history, images, self.config)
        effort = self._effort(steps, k)
        for seed in seeds:
            check_seed(seed)
        text, streams = self._text(instructions), [""] * len(seeds)
        for pasts in points.in_turn():
            points.take(*self._forecast(pasts, streams, effort, seeds, solver, None, text))
        return points.forecast()

    def warm_up(self, views: list[str], k: int = 8, steps: int | None = None) -> None:
        """See `Forecaster.warm_up`."""
        self._forecast_nothing(len(views), self._effort(steps, k), None)

    def release(self) -> None:
        """Gives the networks' memory back; nothing can be forecast afterwards."""
        self._pictures = None
        super().release()

    @property
    def history_frames(self) -> int:
        """The past frames that a forecast is made from, without the present one."""
        return self.config.history - 1

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
        image: Tensor | None = None,
    ) -> Tensor:
        """See `TrajloomSampler.sample_latents_with_history`."""
        return self._sampler.sample_latents_with_history(history, noise, visibility, video, text, steps, solver, image)

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

    def _predicted(
        self,
        pasts: dict[str, Past],
        instruction: str | None,
        effort: Effort,
        seed: int,
        solver: str | None,
        dt: float,
        started: float,
        *,
        video: Tensor | None = None,
        deadline_ms: float | None = None,
    ) -> Forecast:
        """Of the views that `pasts` names."""
        num_views = len(pasts)
        if deadline_ms is not None:
            effort = self._effort_within(deadline_ms, started, effort, num_views, instruction, solver)
        text = self._text([instruction] * num_views)
        if video is None:
            self._tell("no latents of Wan2.1's video VAE were given: video is left out")
        begun = budget.clock()
        tracks, visibility = self._forecast(
            list(pasts.values()), list(pasts), effort, [seed] * num_views, solver, video, text
        )
        ended = budget.clock()
        if deadline_ms is not None:
            self._deadlines.note(num_views, effort, ended - begun)
        return Forecast(
            views=tuple(pasts),
            tracks=tracks,
            visibility=visibility,
            steps=effort.steps,
            seed=seed,
            dt=dt,
            seconds=ended - started,
            deadline_ms=deadline_ms,
        )

    def _forecast(
        self,
        pasts: list[Past],
        streams: list[str],
        effort: Effort,
        seeds: list[int],
        solver: str | None,
        video: Tensor | None,
        text: Tensor | None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Tracks [B, k, T, rows, columns, 2], each past's in its own pixels, and their visibility [B, k, T, rows, columns]."""
        history = self._sampler.encode_history(torch.stack([normalised_past(past, self.config) for past in pasts]))
        noise = self._sampler.noise(history, effort.k, seeds, streams)
        image = self._image_tokens(pasts, streams)
        latents = self.sample_latents_with_history(
            history, noise, self._seen(pasts), video, text, effort.steps, solver, image
        )
        decoded, probability = self._sampler.decode(latents), self._sampler.visible(latents)
        self._check_finite(bool(torch.isfinite(decoded).all()))
        made = [
            self._from_now_on(past, of_past, None if probability is None else probability[i])
            for i, (past, of_past) in enumerate(zip(pasts, decoded, strict=True))
        ]
        tracks = np.stack([positions for positions, _ in made])
        return tracks, None if probability is None else np.stack([seen for _, seen in made])

    def _image_tokens(self, pasts: list[Past], views: list[str]) -> Tensor | None:
        """[B, M, E], or None where the model looks at no picture."""
        if self.config.image_encoder is None:
            return None
        for past, view in zip(pasts, views, strict=True):
            if past.picture is None:
                raise ValueError(
                    f"no picture of view {view!r}: {self.model_id or 'this model'} looks at the present one beside the past; "
                    "give it as images, or the video"
                )
        return self._pictures.encode_images([past.picture for past in pasts])

    def _seen(self, pasts: list[Past]) -> Tensor | None:
        """[B, frames, N]; none of a past that tells nothing of it, and None where no past does."""
        if all(past.visible is None for past in pasts):
            return None
        nothing = np.zeros((self.config.history, *self.config.grid), bool)
        return torch.from_numpy(np.stack([nothing if p.visible is None else p.visible for p in pasts])).flatten(2)

    def _from_now_on(
        self, past: Past, decoded: Tensor, probability: Tensor | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Tracks [k, T, rows, columns, 2] in pixels and their visibility [k, T, rows, columns], the present one first."""
        future, inside = future_in_pixels(decoded, past.image_size, self.config)
        now = np.broadcast_to(past.tracks[-1], (len(future), 1, *past.tracks.shape[1:]))
        tracks = np.concatenate([now, future.cpu().numpy()], axis=1)
        if probability is None:
            return tracks, None
        seen = (probability.unflatten(-1, self.config.grid) * inside).cpu().numpy()  # [k, frames, rows, columns]
        seen_now = np.ones(self.config.grid, bool) if past.visible is None else past.visible[-1]
        now = np.broadcast_to(seen_now, (len(future), 1, *seen_now.shape))
        return tracks, np.concatenate([now, seen], axis=1, dtype=np.float32)

    def _forecast_nothing(self, num_views: int, effort: Effort, solver: str | None) -> None:
        self._forecast(
            [resting_past(self.config)] * num_views, [""] * num_views, effort, [0] * num_views, solver, None, None
        )

    def _encode_instruction(self, instruction: str | None) -> None:
        self._text([instruction])

    def _text(self, instructions: list[str | None]) -> Tensor | None:
        """[B, E], or None where there is no caption, or of one view none, or no encoder for it."""
        if self.config.text_encoder is None:
            if any(instructions):
                self._tell("this model was trained without captions: text is left out")
            return None
        if None in instructions:
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
        return self._text_encoder(instructions)

    def _video(self, latents: list[np.ndarray | None]) -> Tensor | None:
        """[B, T, N, C], or None where none is given."""
        missing = [one is None for one in latents]
        if all(missing):
            return None
        if any(missing):
            raise ValueError("video_latents: expected those of every view, or of none")
        return torch.as_tensor(np.stack([np.asarray(one) for one in latents]), dtype=torch.float32)

    def _tell(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self.warn(f"{self.model_id or 'TrajLoom'}: {line}")
