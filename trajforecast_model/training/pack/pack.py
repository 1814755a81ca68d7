"""`trajforecast pack`: prepared data made small, for the training of a denoiser on another machine for a short time.

An unpacked pack is a prepared folder with pictures as JPEG. The windows for training have no tracks; in their place the
folder has a cache of latents, the VAE that made them, and the embeddings of the instructions. The held-out windows of its
val split have their tracks. Latents are rounded, and so is a past: to less than the noise that training adds to it.

dataset.json  train/  val/  latents/train/  vae/  texts.safetensors
"""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from trajforecast_model.checkpoint import build_vae, checkpoint_folder, load_config, load_weights
from trajforecast_model.data.shards import (
    INFO_FILE,
    SMALLEST,
    DatasetInfo,
    ShardDataset,
    Window,
    write_info,
    write_shard,
)
from trajforecast_model.files.atomic import new_folder
from trajforecast_model.files.config import to_dict
from trajforecast_model.networks.image_encoder import build_image_encoder
from trajforecast_model.networks.text_encoder import TextEncoderConfig, keep_texts
from trajforecast_model.training.batches import spread_evenly
from trajforecast_model.training.features.cache import Features
from trajforecast_model.training.features.frozen import weights_digest
from trajforecast_model.training.features.kept_features import kept_latents, latent_cache
from trajforecast_model.training.pack.parts import PartsWriter
from trajforecast_model.training.stages.flow_matching import LatentSpace
from trajforecast_model.training.stages.vae import (
    CONFIG_FILE,
    TrainedVAEConfig,
    VAEWithEncoder,
    check_vae_fits,
    load_trained_vae,
    save_trained_vae,
)

LATENTS, VAE, TEXTS = "latents", "vae", "texts.safetensors"
LATENT_STEP = 1 / 16  # latents have deviations of 2 and more
DEVIATION_STEP = 1 / 4  # of the logarithm to base 2 of a latent's own deviation
_LEAST_DEVIATION = 2.0**-12  # that its logarithm is taken of; most are smaller, which is nothing beside a step
MINILM = TextEncoderConfig(source="minilm", pooling="mean", dim=384)


@dataclass(frozen=True)
class PackSettings:
    part_size: int = 60_000_000  # bytes
    vae: str | Path = "libero_object_tiny"  # run of `train vae`, or a checkpoint with a VAE
    every: int = 1  # windows from one to the next that is packed, in each view of a demo
    held_out: int = 64  # moments of the val split
    jpeg_quality: int = 90
    history_step: float = 0.25  # pixels to which the past is rounded, where the data has one
    text_encoder: TextEncoderConfig | None = MINILM

    def __post_init__(self):
        for name, least, most in (("every", 1, None), ("held_out", 1, None), ("jpeg_quality", 1, 100)):
            value = getattr(self, name)
            if value < least or (most is not None and value > most):
                wanted = f"at least {least}" if most is None else f"{least} to {most}"
                raise ValueError(f"{name.replace('_', '-')}: got {value}, expected {wanted}")
        if not 0 < self.history_step <= 1:
            raise ValueError(f"history-step: got {self.history_step}, expected pixels, above 0 and at most 1")


@dataclass(frozen=True)
class _VAENetworks:
    image_encoder: nn.Module | None
    latent_space: LatentSpace


def pack(data: Path, out: Path, settings: PackSettings, device: str = "cpu") -> list[Path]:
    """Packs a folder written by `prepare` into parts, and says how many windows each has room for.

    Raises:
        ValueError: where `out` is there already, `data` is not prepared data, the VAE is for other data, or a demo does not
            fit a part.
    """
    training, validation = ShardDataset(data, "train"), ShardDataset(data, "val")
    info = training.info
    if info.history_pictures:
        raise ValueError(
            f"data folder {data} holds the pictures of the past (--history-pictures), which a pack does not carry; prepare the "
            "demos without them"
        )
    trained, model = _load_vae(settings.vae)
    check_vae_fits(trained.vae, info, trained.image_encoder)
    place = torch.device(device)
    model.to(place)
    networks = _VAENetworks(model.image_encoder, LatentSpace(model.vae, trained.latent_std))
    instructions = sorted({*training.rows.instruction.tolist(), *validation.rows.instruction.tolist()})
    rows = _rows_by_shard(training, _every(training, settings.every))
    with new_folder(out) as folder, TemporaryDirectory(dir=folder.parent, prefix=".pack.") as temporary:
        work = Path(temporary)
        save_trained_vae(trained, model, work / VAE)
        told = _made_from(training, validation, trained, model, settings)
        parts = PartsWriter(folder, settings.part_size, {"made_from": told})
        packed_info = replace(
            info, frame_size=None, history_step=settings.history_step if info.history_frames else None
        )
        write_info(work, packed_info)
        common = [INFO_FILE, *(f"{VAE}/{file.name}" for file in (work / VAE).iterdir())]
        if settings.text_encoder is not None:
            keep_texts(settings.text_encoder, instructions, work / TEXTS)
            common.append(TEXTS)
        parts.add(_read(work, common))
        for shard, chosen in _rows_by_shard(validation, _held_out(validation, settings.held_out)).items():
            name = f"val/{shard.name}"
            windows = [replace(validation[index], frames=None) for index in chosen]
            write_shard(work / name, windows, packed_info, settings.jpeg_quality)
            parts.add(_read(work, [name]))
            (work / name).unlink()
        in_first = parts.bytes
        for shard, chosen in tqdm(rows.items(), desc="pack", unit="demo"):
            windows = [replace(training[index], frames=None) for index in chosen]
            parts.add(_packed_demo(shard.name, windows, packed_info, networks, place, settings.jpeg_quality, work))
        number = sum(map(len, rows.values()))
        per_window = (parts.bytes - in_first) / number
        written = [out / part.name for part in parts.finish()]
    print(
        f"wrote {out}: {number:,} windows of {per_window / 1000:.1f} kB in {len(written)} parts of at most "
        f"{settings.part_size:,} bytes; a part has room for {int(settings.part_size / per_window):,}, less in the first one "
        f"the {in_first:,} bytes of VAE, texts and held-out windows"
    )
    return written


def _packed_demo(
    name: str,
    windows: list[Window],
    info: DatasetInfo,
    networks: _VAENetworks,
    device: torch.device,
    jpeg_quality: int,
    work: Path,
) -> dict[str, bytes]:
    """The files of a demo: its windows without tracks, and their latents."""
    packed = work / "train" / name
    write_shard(packed, [replace(window, tracks=None, visibility=None) for window in windows], info, jpeg_quality)
    cache = latent_cache(work / LATENTS, networks, compression=SMALLEST)
    cache.fill([packed], lambda _: _rounded(kept_latents(windows, networks, device)))
    names = [f"train/{name}", f"{LATENTS}/train/{name}"]
    files = _read(work, names)
    for name in names:
        (work / name).unlink()
    return files


def _rounded(features: Features) -> Features:
    """Latents [N, 2, ...], mean and deviation, so that their last bits, which are noise, need no room."""
    mean, deviation = features["latents"][:, 0], features["latents"][:, 1]
    exponent = np.round(np.log2(np.maximum(deviation, _LEAST_DEVIATION)) / DEVIATION_STEP) * DEVIATION_STEP
    latents = np.stack([np.round(mean / LATENT_STEP) * LATENT_STEP, np.exp2(exponent)], axis=1)
    return features | {"latents": latents}


def _every(dataset: ShardDataset, every: int) -> list[int]:
    """Each `every`th window of a demo's view."""
    seen: dict[tuple[str, str, str], int] = {}
    chosen = []
    rows = dataset.rows
    for index, key in enumerate(zip(rows.task, rows.demo, rows.view, strict=True)):
        if seen.setdefault(key, 0) % every == 0:
            chosen.append(index)
        seen[key] += 1
    return chosen


def _held_out(dataset: ShardDataset, moments: int) -> list[int]:
    """All views of moments spread evenly."""
    rows = dataset.rows
    keys = list(zip(rows.task, rows.demo, rows.start, strict=True))
    different = list(dict.fromkeys(keys))
    kept = {different[place] for place in spread_evenly(len(different), moments)}
    return [index for index, key in enumerate(keys) if key in kept]


def _rows_by_shard(dataset: ShardDataset, chosen: list[int]) -> dict[Path, list[int]]:
    rows: dict[Path, list[int]] = {}
    for index in chosen:
        rows.setdefault(dataset.place(index)[0], []).append(index)
    return rows


def _load_vae(source: str | Path) -> tuple[TrainedVAEConfig, VAEWithEncoder]:
    """Of a VAE's run, or of a checkpoint: its VAE, and the image encoder whose tokens that looks at."""
    if (Path(source) / CONFIG_FILE).is_file():
        return load_trained_vae(Path(source))
    folder = checkpoint_folder(source, allow_download=False)
    config = load_config(folder)
    if config.vae is None:
        raise ValueError(
            f"vae: {source} has no VAE; give a checkpoint that has one, or the run of `trajforecast train vae`"
        )
    encoder = config.image_encoder if config.vae.image_conditioned else None
    trained = TrainedVAEConfig(config.vae, config.latent_std, encoder, config.dt)
    model = VAEWithEncoder(replace(trained, image_encoder=None))
    model.vae = build_vae(config, folder)
    if encoder is not None:
        model.image_encoder = build_image_encoder(encoder)
        if encoder.kind == "patch":
            load_weights(model.image_encoder, folder / "image_encoder.safetensors")
    return trained, model.eval().requires_grad_(False)


def _made_from(
    training: ShardDataset,
    validation: ShardDataset,
    trained: TrainedVAEConfig,
    model: VAEWithEncoder,
    settings: PackSettings,
) -> str:
    """Tells the pack of these windows, so made, from others."""
    rows = [np.char.add(part.rows.demo, part.rows.start.astype(str)).tolist() for part in (training, validation)]
    chosen = {name: value for name, value in to_dict(settings).items() if name != "vae"}
    told = json.dumps([to_dict(training.info), rows, to_dict(trained), weights_digest(model), chosen], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _read(folder: Path, names: list[str]) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names}
