"""The one door to a trained model: images and an instruction in, sampled futures of a dense grid of points out.

forecaster = Forecaster.from_pretrained("path or hub id", device="cuda", dtype="bfloat16")
forecast = forecaster.predict({"side": rgb, "effector": rgb}, instruction="put the bowl on the plate", k=8, seed=0)
forecast.tracks  # float32 [V, k, T, H, W, 2], pixels of each view's image
"""

import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from trajforecast_model.checkpoint import (
    ForecastConfig,
    build_denoiser,
    build_vae,
    checkpoint_folder,
    checkpoint_name,
    load_config,
    load_weights,
)
from trajforecast_model.flow.noise import sample_noise
from trajforecast_model.flow.solvers import integrate
from trajforecast_model.forecast import Forecast
from trajforecast_model.images import check_image, resize_images
from trajforecast_model.networks.denoiser import Denoiser
from trajforecast_model.networks.image_encoder import build_image_encoder, standardise
from trajforecast_model.networks.text_encoder import TextEncoder, build_text_encoder
from trajforecast_model.networks.track_vae import TrackVAE
from trajforecast_model.runtime import budget
from trajforecast_model.runtime.compilation import compiled
from trajforecast_model.runtime.device import checked_device
from trajforecast_model.tracks.grid import normalise, query_points, rescale

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Forecaster:
    """A loaded model. Not safe for use from several threads at once.

    Raises:
        ValueError: for a dtype or device that there is not, and for a checkpoint that generates something else.
    """

    generates = "tracks"

    def __init__(
        self,
        config: ForecastConfig,
        denoiser: Denoiser,
        vae: TrackVAE | None,
        image_encoder: nn.Module | None = None,
        text_encoder: TextEncoder | None = None,
        *,
        model_id: str = "",
        device: str | torch.device = "cpu",
        dtype: str = "float32",
        allow_download: bool = False,
    ):
        if dtype not in DTYPES:
            raise ValueError(f"dtype: got {dtype!r}, expected one of {', '.join(DTYPES)}")
        if config.generates != self.generates:
            raise ValueError(
                f"the checkpoint generates {config.generates}, not {self.generates}: it is an ablation for `trajforecast "
                "evaluate` alone"
            )
        self.config = config
        self.model_id = model_id
        self.device = checked_device(device)
        self.dtype = DTYPES[dtype]
        self.denoiser = self._place(denoiser)
        self.vae = None if vae is None else self._place(vae)
        self.latent_std = torch.tensor(config.latent_std, device=self.device)  # [C]
        self._image_encoder = None if image_encoder is None else self._place(image_encoder)
        self._text_encoder = None if text_encoder is None else text_encoder.to(self.device)
        self._allow_download = allow_download
        self._query_points = query_points(config.grid, config.image_size)  # [H, W, 2], pixels
        self._first_frame: Tensor | None = None  # of a VAE that does not look at the image
        self._is_compiled = False
        self._costs: dict[tuple[int, int | None], budget.CostModel] = {}  # see `_costs_key`

    @classmethod
    def from_pretrained(
        cls, source: str | Path, device: str = "cpu", dtype: str = "float32", *, allow_download: bool = False
    ) -> "Forecaster":
        """Loads a checkpoint: a folder, the name of a shipped one, or a hub id that is in the local hub cache.

        Args:
            allow_download: fetch a hub id and the encoders' weights where they are not on this machine.

        Raises:
            ValueError: where that is no checkpoint, or its weights do not fit its config.
        """
        folder = checkpoint_folder(source, allow_download)
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
            model_id=checkpoint_name(source),
            device=device,
            dtype=dtype,
            allow_download=allow_download,
        )

    def predict(
        self,
        images: dict[str, np.ndarray],
        instruction: str | None = None,
        k: int = 8,
        steps: int | None = None,
        seed: int = 0,
        solver: str | None = None,
        deadline_ms: float | None = None,
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

        Raises:
            ValueError: for what cannot be forecast, saying what to change.
        """
        started = budget.clock()
        self._check_views(images)
        views = tuple(images)
        effort = budget.Effort(self.config.steps if steps is None else steps, k)
        self._check_effort(effort)
        if deadline_ms is not None:
            effort = self._effort_within(deadline_ms, started, effort, len(views), instruction, solver)
        begun = budget.clock()
        tracks = self._forecast(
            list(images.values()),
            [instruction] * len(views),
            effort.k,
            effort.steps,
            [seed] * len(views),
            list(views),
            solver,
        )
        ended = budget.clock()
        if deadline_ms is not None:
            self._costs[self._costs_key(len(views), effort.k)].note(effort, ended - begun)
        return Forecast(
            views=views,
            tracks=tracks,
            visibility=None,
            steps=effort.steps,
            seed=seed,
            dt=self.config.dt,
            seconds=ended - started,
            deadline_ms=deadline_ms,
        )

    def compile(self, mode: str = "default", backend: str | Callable = "inductor") -> None:
        """Has torch.compile fuse the solver's network and the decoder, which pays on a GPU.

        The first forecast of each number of views and samples then waits for the compiler (minutes), so that a deadline
        takes solver steps away and no samples. What it made is kept in TORCHINDUCTOR_CACHE_DIR for the next start; a CPU
        needs a C++ compiler.

        Args:
            mode, backend: see `compilation.compiled`.

        Raises:
            ValueError: for a mode that there is not.
        """
        self.denoiser.velocity = compiled(self.denoiser.velocity, mode, backend)
        if self.vae is not None:
            self.vae.decode = compiled(self.vae.decode, mode, backend)
        self._is_compiled = True
        self._costs.clear()

    def calibrate(self, num_views: int, k: int = 8, steps: int | None = None, solver: str | None = None) -> None:
        """Measures what forecasts cost on this machine, for `predict` with a deadline: nine forecasts of blank images.

        Args:
            k, steps: the most that will be asked for. Compiled networks are measured, by five forecasts, for this k alone.
        """
        effort = budget.Effort(self.config.steps if steps is None else steps, k)
        self._check_effort(effort)
        blank = [np.zeros((*self.config.image_size, 3), dtype=np.uint8)] * num_views

        def measure(effort: budget.Effort) -> float:
            begun = budget.clock()
            self._forecast(
                blank, ["stay"] * num_views, effort.k, effort.steps, [0] * num_views, [""] * num_views, solver
            )
            return budget.clock() - begun

        self._costs[self._costs_key(num_views, k)] = budget.CostModel(measure, effort, same_k=self._is_compiled)

    def predict_batch(
        self,
        images: np.ndarray,
        instructions: list[str | None],
        k: int,
        steps: int | None,
        seeds: list[int],
        solver: str | None = None,
    ) -> np.ndarray:
        """Samples k futures for each of many moments, one view each.

        Args:
            images: RGB uint8 [B, H, W, 3].

        Returns:
            float32 [B, k, T, H, W, 2], pixels of the images.
        """
        return self._forecast(list(images), instructions, k, steps, seeds, [""] * len(images), solver)

    @property
    def image_encoder(self) -> nn.Module:
        """Loaded when first asked for, unless it is part of the checkpoint."""
        if self._image_encoder is None:
            self._image_encoder = self._place(build_image_encoder(self.config.image_encoder, self._allow_download))
        return self._image_encoder

    def device_memory(self) -> int | None:
        """Bytes that PyTorch holds on the GPU; None on a CPU, where they are the process's."""
        return torch.cuda.memory_allocated(self.device) if self.device.type == "cuda" else None

    def release(self) -> None:
        """Gives the networks' memory back; nothing can be forecast afterwards."""
        self.denoiser = self.vae = self._image_encoder = self._text_encoder = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    @torch.inference_mode()
    def encode_images(self, images: list[np.ndarray]) -> Tensor:
        """Image tokens [B, M, D] of RGB uint8 images of any size."""
        pixels = torch.from_numpy(resize_images(images, self.config.image_size)).to(self.device)
        return self.image_encoder(standardise(pixels, self.config.image_encoder.input_size, self.dtype))

    @torch.inference_mode()
    def encode_text(self, instructions: list[str | None]) -> Tensor | None:
        """Text embeddings [B, E], or None for a model without text."""
        if self.config.text_encoder is None:
            return None
        for instruction in instructions:
            if not isinstance(instruction, str) or not instruction.strip():
                raise ValueError(f"instruction: got {instruction!r}, expected what the robot is told to do, as text")
        if self._text_encoder is None:
            self._text_encoder = build_text_encoder(self.config.text_encoder, self._allow_download).to(self.device)
        return self._text_encoder(instructions).to(self.dtype)

    @torch.inference_mode()
    def sample_latents(
        self,
        image_tokens: Tensor,
        text_embedding: Tensor | None,
        noise: Tensor,
        steps: int | None = None,
        solver: str | None = None,
        first: Tensor | None = None,
    ) -> Tensor:
        """Integrates the flow for k samples of each image.

        Args:
            image_tokens: [B, M, D]
            text_embedding: [B, E], or None.
            noise: [B, k, T - 1, C, h, w], the start of every unknown latent frame.
            first: [B, 1, C, h, w], the known first frame (default: `first_frame` of the tokens).

        Returns:
            [B, k, T, C, h, w] scaled latents (tracks without a VAE), the clean first frame in slot 0.
        """
        context = self.denoiser.image_context(image_tokens, text_embedding)
        first = self.first_frame(image_tokens) if first is None else first
        first = first.unsqueeze(1).expand(-1, noise.shape[1], -1, -1, -1, -1)

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            known = torch.cat([first, x], dim=2).to(self.dtype)
            times = t.expand(len(x), 1)
            return self.denoiser.velocity(known, times, context)[:, :, 1:].float()

        unknown = integrate(velocity, noise.to(self.device), steps or self.config.steps, solver or self.config.solver)
        return torch.cat([first, unknown], dim=2)

    @torch.inference_mode()
    def first_frame(self, image_tokens: Tensor) -> Tensor:
        """The known first frame: slot 0 of the scaled latent of tracks that never move, [B, 1, C, h, w] float32."""
        batch = len(image_tokens)
        if self.vae is None:
            points = torch.from_numpy(self._query_points).to(self.device)
            first = normalise(points, self.config.image_size).movedim(-1, 0).expand(batch, 1, -1, -1, -1)
            return first / self.latent_std.view(-1, 1, 1)
        if self.vae.config.image_conditioned:
            return self._encode_first_frame(image_tokens)
        if self._first_frame is None:  # the same in every image
            self._first_frame = self._encode_first_frame(image_tokens[:1])
        return self._first_frame.expand(batch, -1, -1, -1, -1)

    def _encode_first_frame(self, image_tokens: Tensor) -> Tensor:
        mean, _ = self.vae.encode_static(len(image_tokens), image_tokens)
        first = mean[:, :1].float() / self.latent_std
        return first.unflatten(2, self.config.denoiser.grid).movedim(-1, 2)

    @torch.inference_mode()
    def decode_latents(self, latents: Tensor, image_tokens: Tensor) -> Tensor:
        """Scaled latents [B, k, T, C, h, w] to normalised tracks, float32 [B, k, T, 2, H, W]."""
        batch = len(latents)
        unscaled = latents * self.latent_std.view(-1, 1, 1)
        if self.vae is None:
            return unscaled.float()
        tokens = unscaled.flatten(0, 1).flatten(3).transpose(2, 3).to(self.dtype)  # [B * k, T, h * w, C]
        return self.vae.decode(tokens, image_tokens).unflatten(0, (batch, -1))

    def _forecast(
        self,
        images: list[np.ndarray],
        instructions: list[str | None],
        k: int,
        steps: int | None,
        seeds: list[int],
        streams: list[str],
        solver: str | None,
    ) -> np.ndarray:
        """float32 [B, k, T, H, W, 2], each image's in its own pixels."""
        for stream, image in zip(streams, images, strict=True):
            check_image(image, stream or "image")
        self._check_effort(budget.Effort(self.config.steps if steps is None else steps, k))
        if any(seed < 0 for seed in seeds):
            raise ValueError(f"seed: got {min(seeds)}, expected a number of at least 0")
        text = self.encode_text(instructions)
        image_tokens = self.encode_images(images)
        known = self._known_frame(images, image_tokens)
        noise = self._noise(k, seeds, streams)  # 7 ms for the paper's B, while a GPU still encodes the images
        latents = self.sample_latents(image_tokens, text, noise, steps, solver, known)
        sizes = [image.shape[:2] for image in images]
        pixels = _pixels(self.decode_latents(latents, image_tokens), sizes)
        is_finite = math.isfinite(pixels.sum())  # one number tells: NaN and infinity survive a sum
        tracks = pixels.cpu().numpy()
        if self.config.anchor_first_frame:
            for samples, size in zip(tracks, sizes, strict=True):
                samples[:, 0] = _query_points_at(self.config.grid, self.config.image_size, size)
        if not is_finite:
            raise ValueError(
                f"the forecast of model {self.model_id!r} has values that are not finite; its weights are damaged, or "
                "overflow in this dtype: try float32"
            )
        return tracks

    def _noise(self, k: int, seeds: list[int], streams: list[str]) -> Tensor:
        """[B, k, T - 1, C, h, w]"""
        shape = (self.config.denoiser.num_frames - 1, self.config.denoiser.channels, *self.config.denoiser.grid)
        return torch.stack([sample_noise(seed, stream, k, shape) for seed, stream in zip(seeds, streams, strict=True)])

    def _known_frame(self, images: list[np.ndarray], image_tokens: Tensor) -> Tensor:
        """[B, 1, C, h, w]"""
        return self.first_frame(image_tokens)

    def _effort_within(
        self,
        deadline_ms: float,
        started: float,
        wanted: budget.Effort,
        num_views: int,
        instruction: str | None,
        solver: str | None,
    ) -> budget.Effort:
        if not deadline_ms > 0:
            raise ValueError(f"deadline_ms: got {deadline_ms!r}, expected milliseconds above 0")
        if (solver or self.config.solver) == "dopri5":
            raise ValueError("deadline_ms: dopri5 chooses its own steps and keeps no deadline; take another solver")
        self.encode_text([instruction])  # once an instruction: not among the costs, but among this call's time
        key = self._costs_key(num_views, wanted.k)
        if key not in self._costs:
            self.calibrate(num_views, wanted.k, wanted.steps, solver)
        left = deadline_ms / 1000 - (budget.clock() - started)
        return self._costs[key].choose(wanted, left)

    def _costs_key(self, num_views: int, k: int) -> tuple[int, int | None]:
        """Compiled networks cost what they do for their own k: another one would first have to be compiled."""
        return num_views, k if self._is_compiled else None

    def _check_effort(self, effort: budget.Effort) -> None:
        for name, value in (("k", effort.k), ("steps", effort.steps)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(f"{name}: got {value!r}, expected a whole number of at least 1")

    def _check_views(self, images: dict[str, np.ndarray]) -> None:
        if not images:
            raise ValueError(f"no image given; expected one or more of the views {', '.join(self.config.views)}")
        for view in images:
            if view not in self.config.views:
                raise ValueError(f"view {view!r} is unknown; this model's views are {', '.join(self.config.views)}")

    def _place(self, module: nn.Module) -> nn.Module:
        return module.to(self.device, self.dtype).eval().requires_grad_(False)


@lru_cache(8)  # a forecast would take 0.1 ms to compute them again, for each view
def _query_points_at(grid: tuple[int, int], image_size: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """[H, W, 2], pixels of an image of `size` (height, width)."""
    return rescale(query_points(grid, image_size), image_size, size)


@torch.inference_mode()
def _pixels(normalised: Tensor, sizes: list[tuple[int, int]]) -> Tensor:
    """Normalised tracks [B, k, T, 2, H, W] to pixels [B, k, T, H, W, 2] of images of (height, width), in their own memory.

    As `denormalise` does, in one pass over what is the largest array of a forecast, and without a second one.
    """
    pixels = normalised.movedim(3, -1)
    for samples, (height, width) in zip(pixels, sizes, strict=True):
        middle = samples.new_empty(samples.shape[2:])  # of the image, for every point: broadcasting over two is slow
        middle[..., 0], middle[..., 1] = width / 2, height / 2
        torch.addcmul(middle, samples, middle, out=samples)
    return pixels.contiguous()
