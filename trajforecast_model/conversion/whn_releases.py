"""The released What-Happens-Next models (hub Gabrijel/what-happens-next), and what their files do not tell.

Facts of the paper and of the configs, networks and demos of gboduljak/what-happens-next.
"""

import difflib
from dataclasses import dataclass

_WIDTHS = {"S": 192, "B": 384, "L": 768}
_DINOV2 = {"small": 384, "large": 1024}


@dataclass(frozen=True)
class WhnSizes:
    """What the tensors of a denoiser, and of its VAE where it has one, tell. Grids are told by position tables alone."""

    num_frames: int
    channels: int  # of the latents; 2 for tracks
    patch_size: int
    tokens: int  # of a frame
    dim: int
    image_tokens: int
    image_dim: int
    text_dim: int | None
    vae_patch: int | None  # None without a VAE


@dataclass(frozen=True)
class Release:
    size: str  # S, B or L
    num_frames: int
    grid: tuple[int, int]  # rows, columns of query points
    image_size: tuple[int, int]  # height, width of the pictures that the tracks were made on
    dinov2: str
    encoder_input_size: tuple[int, int]  # height, width that DINOv2 sees
    dt: float  # seconds between frames
    views: tuple[str, ...]
    patch_size: int = 1
    vae_patch: int | None = None  # None: tracks themselves are denoised
    latent_std: tuple[float, ...] | None = None  # None where there is no VAE, or where it is not known
    text_dim: int | None = None
    dt_is_stated: bool = True  # by the paper; else it is the frame rate of the data set's videos

    @property
    def image_grid(self) -> tuple[int, int]:
        return self.encoder_input_size[0] // 14, self.encoder_input_size[1] // 14

    @property
    def token_grid(self) -> tuple[int, int]:
        points = self.patch_size * (self.vae_patch or 1)
        return self.grid[0] // points, self.grid[1] // points

    @property
    def sizes(self) -> WhnSizes:
        return WhnSizes(
            num_frames=self.num_frames,
            channels=2 if self.vae_patch is None else 8,
            patch_size=self.patch_size,
            tokens=self.token_grid[0] * self.token_grid[1],
            dim=_WIDTHS[self.size],
            image_tokens=self.image_grid[0] * self.image_grid[1],
            image_dim=_DINOV2[self.dinov2],
            text_dim=self.text_dim,
            vae_patch=self.vae_patch,
        )


def _libero(latent_std: tuple[float, ...]) -> Release:
    return Release(
        size="B",
        num_frames=16,
        grid=(64, 64),
        image_size=(128, 128),
        dinov2="large",
        encoder_input_size=(128, 128),  # no multiple of 14: DINOv2 drops the rest and gives 9 x 9 tokens
        dt=1 / 20,
        views=("side", "effector"),
        vae_patch=4,
        latent_std=latent_std,
        text_dim=768,
    )


def _kubric(size: str) -> Release:
    return Release(
        size=size,
        num_frames=24,
        grid=(32, 32),
        image_size=(256, 256),
        dinov2="small",
        encoder_input_size=(224, 224),
        dt=1 / 12,
        views=("camera",),
        vae_patch=2,
        dt_is_stated=False,
    )


def _of_tracks(
    size: str,
    grid: tuple[int, int],
    image_size: tuple[int, int],
    encoder_input_size: tuple[int, int],
    patch_size: int,
    frames_per_second: float,
) -> Release:
    return Release(
        size=size,
        num_frames=30,
        grid=grid,
        image_size=image_size,
        dinov2="large",
        encoder_input_size=encoder_input_size,
        dt=1 / frames_per_second,
        views=("camera",),
        patch_size=patch_size,
        dt_is_stated=False,
    )


LIBERO_LATENT_STD = (1.213627, 2.053186, 1.9926697, 1.3819386, 2.1739495, 1.0036867, 0.41319662, 0.67743313)
LIBERO = "libero-atm"
RELEASES = {
    LIBERO: _libero(LIBERO_LATENT_STD),
    "libero-tramoe": _libero((1.2902071, 1.9394214, 1.9453552, 1.562121, 2.2335691, 1.0033306, 0.8569633, 0.73737895)),
    "kubric-s": _kubric("S"),
    "kubric-b": _kubric("B"),
    "kubric-l": _kubric("L"),
    "physion": _of_tracks("B", (32, 32), (256, 256), (252, 252), 2, 30),
    "physics101": _of_tracks("B", (32, 58), (256, 464), (252, 462), 2, 30),
    "cityscapes-b": _of_tracks("B", (56, 112), (224, 448), (224, 448), 4, 17),
    "cityscapes-l": _of_tracks("L", (56, 112), (224, 448), (224, 448), 4, 17),
}

_MEANINGS = {
    "num_frames": "frames",
    "channels": "channels (2 are tracks, 8 the VAE's latents)",
    "patch_size": "points or latents a side of a token",
    "tokens": "tokens a frame",
    "dim": "width",
    "image_tokens": "image tokens",
    "image_dim": "width of the image tokens",
    "text_dim": "width of the text",
    "vae_patch": "points a side of the VAE's token",
}


def release_named(name: str) -> Release:
    """Raises ValueError for a name that there is not, with the nearest."""
    if name in RELEASES:
        return RELEASES[name]
    nearest = difflib.get_close_matches(name, RELEASES, n=1)
    hint = f"did you mean {nearest[0]}? " if nearest else ""
    raise ValueError(f"release: got {name!r}; {hint}There are {', '.join(RELEASES)}")


def differences(found: WhnSizes, release: Release) -> list[str]:
    """In what the files are not of the release, in words. That one of them is missing is no difference."""
    wanted = vars(release.sizes)
    return [
        f"{_MEANINGS[name]}: {_counted(value)} in the files, {_counted(wanted[name])} in the release"
        for name, value in vars(found).items()
        if value != wanted[name] and not (name == "vae_patch" and None in (value, wanted[name]))
    ]


def releases_like(found: WhnSizes) -> list[str]:
    return [name for name, release in RELEASES.items() if release.sizes == found]


def _counted(value: int | None) -> str:
    return "none" if value is None else str(value)
