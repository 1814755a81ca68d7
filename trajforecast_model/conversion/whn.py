"""`trajforecast convert whn`: official What-Happens-Next weights to a checkpoint folder of ours.

The networks' sizes are read off the tensors. What these do not tell (picture sizes, latent scale, frame interval) is told
by the release that the files are of, or by a YAML file, and is not guessed.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from trajforecast_model.checkpoint import ForecastConfig, save_config, save_weights
from trajforecast_model.conversion.official_weights import (
    HEAD_DIM,
    depth_of,
    filled,
    is_same_table,
    read_network,
    tensor_of,
)
from trajforecast_model.conversion.whn_keys import denoiser_weights, vae_weights
from trajforecast_model.conversion.whn_releases import (
    LIBERO,
    RELEASES,
    Release,
    WhnSizes,
    differences,
    release_named,
    releases_like,
)
from trajforecast_model.files.atomic import new_folder
from trajforecast_model.files.config import load
from trajforecast_model.networks.denoiser import Denoiser, DenoiserConfig
from trajforecast_model.networks.image_encoder import ImageEncoderConfig
from trajforecast_model.networks.positions import sincos_1d, sincos_2d
from trajforecast_model.networks.text_encoder import TextEncoderConfig
from trajforecast_model.networks.track_vae import TrackVAE, TrackVAEConfig

_DINOV2 = {384: "facebook/dinov2-small", 768: "facebook/dinov2-base", 1024: "facebook/dinov2-large"}
_SIGNS = {"denoiser": "t_embedder.mlp.0.weight", "VAE": "to_latents.weight"}  # a key that the other has not


@dataclass(frozen=True)
class WhnSettings:
    """What the weights do not tell; null is the release's or, without one, as said here."""

    image_size: tuple[int, int] | None = None  # height, width that tracks refer to; asked for
    encoder_input_size: tuple[int, int] | None = None  # height, width that DINOv2 sees; null: 14 pixels a token
    grid: tuple[int, int] | None = None  # rows, columns of query points; null: the position table's
    image_grid: tuple[int, int] | None = None  # rows, columns of image tokens; null: the position table's
    latent_std: tuple[float, ...] | None = None  # per channel; asked for where there is a VAE
    dt: float | None = None  # seconds between frames; null: 0.05, LIBERO's
    views: tuple[str, ...] | None = None  # null: side, effector
    steps: int = 9
    heads: int | None = None  # null: one for 64 channels
    image_encoder: str | None = None  # folder or hub id of DINOv2; null: the one of that width
    text_encoder: str = "bert-base-cased"  # folder or hub id


def convert_whn(
    denoiser_file: Path,
    vae_file: Path | None,
    out: Path,
    settings_file: Path | None = None,
    release: str | None = None,
    weights: str | None = None,
) -> None:
    """Writes the checkpoint folder `out` from files as the official trainings save them, or from plain state dicts.

    Args:
        settings_file: YAML of `WhnSettings`; what it says goes before the release.
        release: a name of `RELEASES`; files that are not of it are refused.
        weights: "model" or "ema", or an entry of the denoiser's file; None takes the moving average where there is one.

    Raises:
        ValueError: for files that are no such state dicts, or whose sizes do not fit together or the release; where
            something is not known; where `out` holds something.
    """
    with new_folder(out) as folder:
        settings = WhnSettings() if settings_file is None else load(WhnSettings, settings_file)
        if release is not None:
            release_named(release)
        official_denoiser = _read(denoiser_file, "denoiser", weights)
        official_vae = None
        if vae_file is not None:  # it has a moving average of its own or, as those released, none
            official_vae = _read(vae_file, "VAE", "model" if weights == "model" else None)
        sizes = read_sizes(official_denoiser, official_vae)
        denoiser_state = denoiser_weights(official_denoiser)
        vae_state = None if official_vae is None else vae_weights(official_vae)
        # Grids do not matter for the weights, and whether these are a denoiser's comes before what has to be asked for.
        grids = (sizes.tokens * sizes.patch_size, sizes.patch_size), (sizes.image_tokens, 1)
        denoiser = filled(
            lambda: Denoiser(_denoiser_config(official_denoiser, sizes, *grids)), denoiser_state, denoiser_file
        )
        preset = _preset(sizes, settings) if release is None else _released(sizes, settings, release)
        _check_pair(official_denoiser, official_vae, sizes)
        config = _config(official_denoiser, official_vae, sizes, settings, preset)
        if vae_state is not None:
            vae = filled(lambda: TrackVAE(config.vae), vae_state, vae_file)
            save_weights(vae, folder / "vae.safetensors")
        save_weights(denoiser, folder / "denoiser.safetensors")
        save_config(config, folder)
    encoder, image_grid = config.image_encoder, config.image_encoder.grid
    print(
        f"wrote {out}: denoiser of {config.denoiser.depth} blocks of width {config.denoiser.dim}, {config.num_frames} "
        f"frames {config.dt:.4g} s apart of {_by(config.grid)} points in pictures of {_by(config.image_size)}, which "
        f"{encoder.source} sees at {_by(encoder.input_size)} ({_by(image_grid)} tokens); views {', '.join(config.views)}"
    )


def read_sizes(denoiser: dict[str, Tensor], vae: dict[str, Tensor] | None) -> WhnSizes:
    """Reads the sizes off the official state dicts."""
    dim, _, patch_size, _ = _tensor(denoiser, "x_embedder.proj.weight", "denoiser").shape
    text = denoiser.get("text_embeds_proj.fc1.weight")
    return WhnSizes(
        num_frames=_tensor(denoiser, "temp_embed", "denoiser").shape[1],
        channels=_tensor(denoiser, "final_layer.linear.bias", "denoiser").numel() // patch_size**2,
        patch_size=patch_size,
        tokens=_tensor(denoiser, "pos_embed", "denoiser").shape[1],
        dim=dim,
        image_tokens=_tensor(denoiser, "frame_embed", "denoiser").shape[1],
        image_dim=_tensor(denoiser, "frame_proj.weight", "denoiser").shape[1],
        text_dim=None if text is None else text.shape[1],
        vae_patch=None if vae is None else _tensor(vae, "x_embedder.proj.weight", "VAE").shape[2],
    )


def _released(sizes: WhnSizes, settings: WhnSettings, name: str) -> Release:
    """The release of that name. Raises ValueError where the files are not of it."""
    release = release_named(name)
    if different := differences(sizes, release):
        like = releases_like(sizes)
        of = f"; they have the sizes of {' or '.join(like)}" if like else ""
        raise ValueError(f"the files are not of release {name}: {'; '.join(different)}{of}")
    if not release.dt_is_stated and settings.dt is None:
        print(
            f"dt {release.dt:.4g} s is the frame rate of the videos that {name} was trained on; the release does not say "
            "which of their frames it took: dt in a --config FILE goes before it"
        )
    return release


def _preset(sizes: WhnSizes, settings: WhnSettings) -> Release | None:
    """Files without a release's name: LIBERO's where they have its sizes; None where `settings` say what is needed."""
    like = releases_like(sizes)
    if LIBERO in like:
        others = " or ".join(other for other in like if other != LIBERO)
        print(
            f"sizes are those of LIBERO: taken as {LIBERO}, the latent scale too; {others} has the same sizes and another "
            f"scale: --release {others}"
            if settings.latent_std is None
            else f"sizes are those of LIBERO: what --config does not say is {LIBERO}'s"
        )
        return RELEASES[LIBERO]
    missing = [] if settings.image_size else ["image_size"]
    if sizes.vae_patch is not None and settings.latent_std is None:
        missing.append("latent_std")
    if not missing:
        return None
    fitting = f"the sizes of {' or '.join(like)}: choose it by --release" if like else "the sizes of no release"
    raise ValueError(
        f"the files have {fitting}; {'or ' if like else ''}give {' and '.join(missing)} in a --config FILE: the weights do "
        f"not tell, and nothing is guessed. Releases: {', '.join(RELEASES)}"
    )


def _check_pair(denoiser: dict[str, Tensor], vae: dict[str, Tensor] | None, sizes: WhnSizes) -> None:
    """Raises ValueError where denoiser and VAE do not belong together, or one of them is missing."""
    of_tracks = "x_encoder.lff.w" in denoiser
    if of_tracks and vae is not None:
        raise ValueError("this denoiser works on tracks themselves and has no VAE; leave --vae out")
    if vae is None:
        if of_tracks:
            return
        raise ValueError(f"this denoiser works on latents of {sizes.channels} channels; give its VAE by --vae")
    ours = {
        "frames": sizes.num_frames,
        "latents a frame": sizes.tokens * sizes.patch_size**2,
        "channels": sizes.channels,
        "image tokens": sizes.image_tokens,
        "width of the image tokens": sizes.image_dim,
    }
    theirs = (
        _tensor(vae, "temp_embed", "VAE").shape[1],
        _tensor(vae, "pos_embed", "VAE").shape[1],
        _tensor(vae, "from_latents.weight", "VAE").shape[1],
        _tensor(vae, "frame_embed", "VAE").shape[1],
        _tensor(vae, "frame_proj.weight", "VAE").shape[1],
    )
    for (name, expected), value in zip(ours.items(), theirs, strict=True):
        if value != expected:
            raise ValueError(f"the VAE is of another model: {name}: {value} in the VAE, {expected} in the denoiser")


def _config(
    denoiser: dict[str, Tensor],
    vae: dict[str, Tensor] | None,
    sizes: WhnSizes,
    settings: WhnSettings,
    preset: Release | None,
) -> ForecastConfig:
    points = sizes.patch_size * (sizes.vae_patch or 1)  # a side of a token
    grid = settings.grid or (preset.grid if preset else None)
    if grid and (grid[0] % points or grid[1] % points):
        raise ValueError(f"grid: got {_by(grid)} points, expected a multiple of {points}, the points a side of a token")
    token_grid = _grid_of(denoiser["pos_embed"], grid and (grid[0] // points, grid[1] // points), "grid")
    grid = (token_grid[0] * points, token_grid[1] * points)
    latent_grid = (token_grid[0] * sizes.patch_size, token_grid[1] * sizes.patch_size)
    encoder = _image_encoder(denoiser, sizes, settings, preset)
    image_size = settings.image_size or preset.image_size
    latent_std = settings.latent_std or (preset and preset.latent_std)
    if sizes.vae_patch is None:
        latent_std = latent_std or (1.0,) * sizes.channels
    elif latent_std is None:
        raise ValueError(
            "the latent scale of this release is not known here: give latent_std, the standard deviation of each of the "
            f"{sizes.channels} channels, in a --config FILE; it stands in the training config beside the weights"
        )
    _check_times(denoiser["temp_embed"])
    vae_config = None
    if vae is not None:
        vae_dim = vae["x_embedder.proj.weight"].shape[0]
        _grid_of(vae["pos_embed"], latent_grid, "grid")
        _check_times(vae["temp_embed"])
        vae_config = TrackVAEConfig(
            num_frames=sizes.num_frames,
            grid=grid,
            image_size=image_size,
            patch_size=sizes.vae_patch,
            dim=vae_dim,
            depth=depth_of(vae, "encoder_blocks"),
            heads=settings.heads or vae_dim // HEAD_DIM,
            latent_channels=sizes.channels,
            image_grid=_image_positions(vae["frame_embed"], encoder.grid),
            image_dim=sizes.image_dim,
        )
    text = None if sizes.text_dim is None else TextEncoderConfig(source=settings.text_encoder, dim=sizes.text_dim)
    return ForecastConfig(
        denoiser=replace(
            _denoiser_config(denoiser, sizes, latent_grid, _image_positions(denoiser["frame_embed"], encoder.grid)),
            heads=settings.heads or sizes.dim // HEAD_DIM,
        ),
        vae=vae_config,
        image_encoder=encoder,
        text_encoder=text,
        latent_std=latent_std,
        image_size=image_size,
        grid=grid,
        num_frames=sizes.num_frames,
        dt=settings.dt or (preset.dt if preset else 0.05),
        views=settings.views or (preset.views if preset else ("side", "effector")),
        steps=settings.steps,
    )


def _denoiser_config(
    denoiser: dict[str, Tensor], sizes: WhnSizes, grid: tuple[int, int], image_grid: tuple[int, int]
) -> DenoiserConfig:
    return DenoiserConfig(
        num_frames=sizes.num_frames,
        grid=grid,
        channels=sizes.channels,
        patch_size=sizes.patch_size,
        dim=sizes.dim,
        depth=depth_of(denoiser, "blocks"),
        heads=1,
        image_grid=image_grid,
        image_dim=sizes.image_dim,
        text_dim=sizes.text_dim,
        track_encoding="x_encoder.lff.w" in denoiser,
    )


def _image_encoder(
    denoiser: dict[str, Tensor], sizes: WhnSizes, settings: WhnSettings, preset: Release | None
) -> ImageEncoderConfig:
    source = settings.image_encoder or _DINOV2.get(sizes.image_dim)
    if source is None:
        raise ValueError(f"no DINOv2 has tokens of width {sizes.image_dim}; give image_encoder by --config")
    given = settings.image_grid or (preset.image_grid if preset else None)
    size = settings.encoder_input_size or (preset.encoder_input_size if preset and not settings.image_grid else None)
    if size is None:
        rows, columns = given or _grid_of(denoiser["frame_embed"], None, "image_grid")
        size = (14 * rows, 14 * columns)
    encoder = ImageEncoderConfig(source=source, dim=sizes.image_dim, input_size=size)
    if encoder.grid[0] * encoder.grid[1] != sizes.image_tokens:
        raise ValueError(
            f"DINOv2 gives {_by(encoder.grid)} tokens of a picture of {_by(size)}, the weights have {sizes.image_tokens}; "
            "change encoder_input_size"
        )
    return encoder


def _image_positions(table: Tensor, tokens: tuple[int, int]) -> tuple[int, int]:
    """The grid whose positions the image tokens get: theirs, or the one across, if the network was trained with that.

    The published configs of Cityscapes take rows for columns in this one table.
    """
    if not table.any() or _is_table_of(table, tokens):
        return tokens
    across = tokens[::-1]
    if not _is_table_of(table, across):
        raise ValueError(
            f"the table of image positions is none of {_by(tokens)} tokens; give image_grid and encoder_input_size by "
            "--config, if it is that of another grid"
        )
    print(f"image tokens are {_by(tokens)}, and their positions those of {_by(across)}, as in the training; kept")
    return across


def _grid_of(table: Tensor, given: tuple[int, int] | None, name: str) -> tuple[int, int]:
    """Rows and columns of a fixed position table [1, L, D]: the factors of L whose sine-cosine table it is.

    A table of zeros, which was left out when the weights were saved, is that of the given grid or of a square.
    """
    length = table.shape[1]
    if given is not None and given[0] * given[1] != length:
        raise ValueError(f"{name} {given} has {given[0] * given[1]} tokens, the weights have {length}")
    side = round(length**0.5)
    if not table.any():
        if given is None and side * side != length:
            raise ValueError(
                f"{length} tokens are no square and the position table names no grid: give {name} by --config"
            )
        return given or (side, side)
    for shape in [given] if given else [(rows, length // rows) for rows in range(1, length + 1) if length % rows == 0]:
        if _is_table_of(table, shape):
            return shape
    wanted = f"of {_by(given)} tokens" if given else "of any grid"
    raise ValueError(f"{name}: the position table in the weights is not the official one {wanted}")


def _is_table_of(table: Tensor, grid: tuple[int, int]) -> bool:
    return is_same_table(table, sincos_2d(grid, table.shape[2]))


def _check_times(table: Tensor) -> None:
    expected = sincos_1d(torch.arange(table.shape[1]), table.shape[2])
    if table.any() and not is_same_table(table, expected):
        raise ValueError("the table of time positions in the weights is not the official one; it cannot be converted")


def _read(path: Path, network: str, choice: str | None) -> dict[str, Tensor]:
    return read_network(path, network, choice, _SIGNS[network])


def _tensor(state: dict[str, Tensor], key: str, network: str) -> Tensor:
    return tensor_of(state, key, network, f"What-Happens-Next {network}")


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
