"""`trajforecast convert trajloom`: official TrajLoom weights to a checkpoint folder of ours.

Sizes are read off the tensors: the picture's off the field of anchors, frames and cells off the position tables. Heads are
not in the weights, and have 64 channels in all of TrajLoom.
"""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from trajforecast_model.conversion.official_weights import (
    HEAD_DIM,
    depth_of,
    filled,
    is_same_table,
    read_network,
    tensor_of,
)
from trajforecast_model.conversion.trajloom_keys import generator_weights, vae_weights, visibility_weights
from trajforecast_model.files.atomic import new_folder
from trajforecast_model.files.json_files import read_object
from trajforecast_model.networks.positions import sincos_1d, sincos_2d
from trajforecast_model.networks.trajloom.frames import latent_steps
from trajforecast_model.networks.trajloom.generator import Generator, GeneratorConfig
from trajforecast_model.networks.trajloom.track_vae import TrajloomVAE, TrajloomVAEConfig
from trajforecast_model.networks.trajloom.visibility import VisibilityHead, VisibilityHeadConfig
from trajforecast_model.trajloom.checkpoint import (
    UMT5,
    LatentStatistics,
    TrajloomConfig,
    TrajloomNetworks,
    fingerprint,
    save_trajloom,
)

OFFICIAL_STATISTICS = Path(__file__).with_name("trajloom_latent_stats.json")
_STRIDE = 4  # frames between the latent steps of the released weights
_SIGNS = {"VAE": "to_latents.weight", "generator": "track_fusion_gate_logit", "visibility": "temporal_net.0.weight"}


def convert_trajloom(
    vae_file: Path,
    generator_file: Path,
    visibility_file: Path | None,
    out: Path,
    statistics_file: Path | None = None,
    weights: str | None = None,
) -> None:
    """Writes the checkpoint folder `out` from files as the official ones are, however their tensors are wrapped.

    Args:
        visibility_file: None for a model that does not forecast visibility.
        statistics_file: JSON of the latents' means and standard deviations, see `read_statistics`; None takes the official.
        weights: "model" or "ema", or an entry of the generator's file; None takes the moving average where there is one.

    Raises:
        ValueError: for files that are no such state dicts, or do not belong together; where `out` holds something.
    """
    with new_folder(out) as folder:
        mean, std, of_vae = read_statistics(statistics_file or OFFICIAL_STATISTICS)
        official_generator = _read(generator_file, "generator", weights)
        beside = "model" if weights == "model" else None  # the others have averages of their own or, as released, none
        official_vae = _read(vae_file, "VAE", beside)
        official_visibility = None if visibility_file is None else _read(visibility_file, "visibility", beside)

        generator_config = _generator_config(official_generator)
        vae_config = _vae_config(official_vae, generator_config.latent_frames)
        generator_config = replace(
            generator_config, num_frames=vae_config.num_frames, temporal_stride=vae_config.temporal_stride
        )
        visibility_config = None if official_visibility is None else _visibility_config(official_visibility)
        vae = filled(lambda: TrajloomVAE(vae_config), vae_weights(official_vae), vae_file)
        config = TrajloomConfig(
            vae=vae_config,
            generator=generator_config,
            latents=LatentStatistics(mean, std, fingerprint(vae)),
            visibility=visibility_config,
            text_encoder=replace(UMT5, dim=generator_config.text_dim),
        )
        if of_vae not in (None, config.latents.vae):
            raise ValueError(
                f"{statistics_file}: the latent statistics are of another VAE (encoder {of_vae}) than {vae_file} (encoder "
                f"{config.latents.vae}); give those of this one by --latent-stats"
            )
        generator = filled(lambda: Generator(generator_config), generator_weights(official_generator), generator_file)
        head = None
        if official_visibility is not None:
            head = filled(
                lambda: VisibilityHead(visibility_config), visibility_weights(official_visibility), visibility_file
            )
        save_trajloom(config, TrajloomNetworks(vae, generator, head), folder)
    rows, columns = config.grid
    height, width = config.image_size
    print(
        f"wrote {out}: {config.history} past and as many future frames of {rows} x {columns} points in pictures of "
        f"{height} x {width}, {'with' if head is not None else 'without'} visibility; latents are normalised by "
        f"{statistics_file or 'the official z_all'}"
    )


def read_statistics(path: Path) -> tuple[tuple[float, ...], tuple[float, ...], str | None]:
    """Mean and standard deviation of each channel of the latents, and the fingerprint of their VAE where the file has it.

    They are those of past and future together: "z_all" of the official file (with or without its "per_channel"), "latents"
    of the config.json of a checkpoint of ours, or the file's own "mean" and "std".

    Raises:
        ValueError: for a file of something else.
    """
    if not path.is_file():
        raise ValueError(f"latent statistics {path} do not exist")
    content = read_object(path, "give the JSON file that the official code's statistics are in")
    meta = content.get("meta")
    if isinstance(meta, dict) and meta.get("stored_scaled_latents_present"):
        raise ValueError(
            f"{path}: the statistics are of latents that were normalised already; compute them of raw ones"
        )
    found = content.get("latents", content.get("z_all", content))
    numbers = found.get("per_channel", found) if isinstance(found, dict) else None
    try:
        mean, std = (tuple(map(float, numbers[name])) for name in ("mean", "std"))
    except (TypeError, KeyError, ValueError) as error:
        names = ", ".join(map(repr, content))
        raise ValueError(
            f"{path}: expected mean and std of each channel, under 'z_all' or alone; it has {names}"
        ) from error
    return mean, std, found.get("vae", content.get("vae"))


def _vae_config(official: dict[str, Tensor], latent_frames: int) -> TrajloomVAEConfig:
    height, width = _tensor(official, "offset_anchor_grid", "VAE").shape[-2:]
    dim, _, _, patch_size = _tensor(official, "x_embedder.proj.weight", "VAE").shape
    num_frames = _tensor(official, "temp_embed_in", "VAE").shape[1]
    if dim % HEAD_DIM:
        raise ValueError(f"the VAE has width {dim}, which is no multiple of {HEAD_DIM}, the channels of a head")
    config = TrajloomVAEConfig(
        num_frames=num_frames,
        image_size=(height, width),
        patch_size=patch_size,
        temporal_stride=_stride(num_frames, latent_frames),
        temporal_kernel=_tensor(official, "temp_compressor.conv.weight", "VAE").shape[2],
        dim=dim,
        depth=depth_of(official, "encoder_blocks"),
        heads=dim // HEAD_DIM,
        latent_channels=_tensor(official, "from_latents.weight", "VAE").shape[1],
        position_frequencies=len(_tensor(official, "patch_pos_lff.w", "VAE")),
    )
    tables = {
        "pos_embed": sincos_2d(config.cells.shape, dim),
        "temp_embed_in": sincos_1d(torch.arange(num_frames), dim),
        "offset_anchor_grid": config.cells.anchors(),
    }
    for name, expected in tables.items():
        table = _tensor(official, name, "VAE")
        if table.numel() != expected.numel():
            raise ValueError(
                f"the VAE's {name} has shape {list(table.shape)}, expected {list(expected.shape)} for pictures of {height} x "
                f"{width} in cells of {patch_size} pixels and {num_frames} frames"
            )
        if table.any() and not is_same_table(table, expected):
            raise ValueError(f"the VAE's {name} is not the official table; it cannot be converted")
    return config


def _generator_config(official: dict[str, Tensor]) -> GeneratorConfig:
    """Frames are the VAE's; here they are such that the latent steps are right."""
    dim, channels = _tensor(official, "in_proj.weight", "generator").shape
    if dim % HEAD_DIM:
        raise ValueError(f"the generator has width {dim}, which is no multiple of {HEAD_DIM}, the channels of a head")
    return GeneratorConfig(
        num_frames=1 + _STRIDE * (len(_tensor(official, "track_fusion_gate_logit", "generator")) - 1),
        temporal_stride=_STRIDE,
        cells=_tensor(official, "pos_embed", "generator").shape[1],
        channels=channels,
        video_channels=_tensor(official, "hist_video_proj.weight", "generator").shape[1],
        text_dim=_tensor(official, "text_proj.weight", "generator").shape[1],
        dim=dim,
        depth=depth_of(official, "blocks"),
        heads=dim // HEAD_DIM,
    )


def _visibility_config(official: dict[str, Tensor]) -> VisibilityHeadConfig:
    dim, channels = _tensor(official, "in_proj.weight", "visibility predictor").shape
    convolutions = [key for key in official if key.startswith("temporal_net.") and key.endswith(".weight")]
    kernel = _tensor(official, "temporal_net.0.weight", "visibility predictor").shape[2]
    return VisibilityHeadConfig(channels=channels, dim=dim, depth=len(convolutions), kernel=kernel)


def _stride(num_frames: int, latent_frames: int) -> int:
    """Frames between latent steps: the official 4 where that fits, or the largest that does."""
    fitting = [s for s in range(1, num_frames) if latent_steps(num_frames, s) == latent_frames]
    if not fitting:
        raise ValueError(
            f"the VAE has {num_frames} frames and the generator {latent_frames} latent steps, which no whole number of "
            "frames between them makes of these: it is of another VAE"
        )
    return _STRIDE if _STRIDE in fitting else fitting[-1]


def _read(path: Path, network: str, choice: str | None) -> dict[str, Tensor]:
    return read_network(path, network, choice, _SIGNS[network])


def _tensor(state: dict[str, Tensor], key: str, network: str) -> Tensor:
    return tensor_of(state, key, network, f"{network} of TrajLoom")
