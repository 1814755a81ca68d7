"""A checkpoint is a folder: config.json, which rebuilds everything, and safetensors weights. Nothing is unpickled.

config.json  vae.safetensors  denoiser.safetensors  image_encoder.safetensors (only where it is trained)
visibility_head.safetensors (only where there is one)
"""

import contextlib
import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from trajforecast_model.files.atomic import write_atomically
from trajforecast_model.files.config import check_at_least, from_dict, to_dict
from trajforecast_model.files.paths import expanded
from trajforecast_model.flow.solvers import check_solver
from trajforecast_model.networks.denoiser import Denoiser, DenoiserConfig
from trajforecast_model.networks.image_encoder import ImageEncoderConfig
from trajforecast_model.networks.text_encoder import TextEncoderConfig
from trajforecast_model.networks.track_vae import TrackVAE, TrackVAEConfig
from trajforecast_model.networks.visibility_head import VisibilityHead, VisibilityHeadConfig

CONFIG_FILE = "config.json"
TRAJLOOM = "trajloom"  # kind of a checkpoint of TrajLoom, see trajloom/checkpoint.py
POLICY = "policy"  # kind of a policy's, see policy/checkpoint.py
SHIPPED = Path(__file__).parent / "checkpoints"
_EXPORTS = ("checkpoint", "checkpoint_best", "export")  # what a training run calls them, see training/run_folder.py
_VAE_CONFIG_FILE = "vae.json"  # of a VAE alone, see training/stages/vae.py


@dataclass(frozen=True)
class ForecastConfig:
    """Everything needed to rebuild the networks and the preprocessing."""

    denoiser: DenoiserConfig
    image_encoder: ImageEncoderConfig
    vae: TrackVAEConfig | None = None  # null: the denoiser works on tracks themselves
    text_encoder: TextEncoderConfig | None = None
    latent_std: tuple[float, ...] = (1.0, 1.0)  # per channel, over the training set
    image_size: tuple[int, int] = (128, 128)  # height, width of the images that the tracks were made on
    grid: tuple[int, int] = (64, 64)  # rows, columns of query points
    num_frames: int = 16  # the present one included
    dt: float = 0.05  # seconds between frames
    views: tuple[str, ...] = ("side", "effector")
    steps: int = 9  # solver steps unless the caller says otherwise
    solver: str = "euler"  # "METHOD" or "METHOD@GRID", see flow/solvers.py
    temperature: float = 1.0  # of the noise; above 1 samples differ more than training alone makes them
    anchor_first_frame: bool = False  # set t = 0 of a forecast to the query points, which it is by definition
    visibility: VisibilityHeadConfig | None = None  # of the head that says what will be seen; null without one
    generates: Literal["tracks", "pixels"] = "tracks"  # pixels: the denoiser's grid is a frame, and there is no VAE

    def __post_init__(self):
        check_solver(self.solver)
        check_at_least(1, self, "steps", "num_frames")
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature: got {self.temperature}, expected a number above 0")
        if not 0 < self.dt < math.inf:
            raise ValueError(f"dt: got {self.dt}, expected seconds between two frames")
        if not self.views or len(set(self.views)) < len(self.views):
            raise ValueError(f"views: got {list(self.views)}, expected one or more different names")
        if len(self.latent_std) != self.denoiser.channels:
            raise ValueError(
                f"latent_std has {len(self.latent_std)} values, the denoiser {self.denoiser.channels} channels"
            )
        if self.generates == "pixels" and (self.vae is not None or self.denoiser.channels != 3):
            raise ValueError(
                f"generates pixels: expected a denoiser of 3 channels and no VAE, got {self.denoiser.channels} channels"
            )
        if self.vae is not None:
            latent = (self.vae.latent_frames, self.vae.latent_grid, self.vae.latent_channels)
            denoised = (self.denoiser.num_frames, self.denoiser.grid, self.denoiser.channels)
            if latent != denoised:
                raise ValueError(
                    f"the VAE's latents are (frames, grid, channels) {latent}, the denoiser's {denoised}; "
                    "they must be the same"
                )


def checkpoint_folder(source: str | Path, allow_download: bool) -> Path:
    """The folder of a checkpoint: itself, a run's newest, or that of a shipped one's name or of a hub id in the local hub
    cache.

    Raises:
        ValueError: where there is none.
    """
    if (folder := expanded(source)).exists():
        return Path(export_within(folder))
    shipped = {folder.name: folder for folder in sorted(SHIPPED.iterdir())}
    if str(source) in shipped:
        return shipped[str(source)]
    looks_like_hub_id = str(source).count("/") == 1 and not str(source).startswith((".", "/", "~"))
    if looks_like_hub_id:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

        with contextlib.suppress(LocalEntryNotFoundError, HFValidationError, HfHubHTTPError):
            return Path(
                snapshot_download(
                    str(source), allow_patterns=[CONFIG_FILE, "*.safetensors"], local_files_only=not allow_download
                )
            )
    hint = " and is not in the local hub cache (allow_download=True fetches it)" if looks_like_hub_id else ""
    raise ValueError(
        f"checkpoint {str(source)!r} does not exist{hint}; give a folder, the name of one that is shipped "
        f"({', '.join(shipped)}) or a hub id"
    )


def export_within(source: str | Path) -> str | Path:
    """A training run's newest checkpoint where `source` is the run's folder, or one of those that it goes on from."""
    folder = expanded(source)
    inner = [folder / name for name in ("checkpoint", "export") if (folder / name).is_dir()]
    return source if not inner or any(folder.glob("*.safetensors")) else inner[0]


def checkpoint_name(source: str | Path) -> str:
    """The folder's name, with that of the run before it where the folder is called as every training run's export is."""
    folder = Path(source)
    return folder.name if folder.name not in _EXPORTS else f"{folder.absolute().parent.name}/{folder.name}"


def save_config(config: ForecastConfig, folder: Path) -> None:
    write_atomically(folder / CONFIG_FILE, (json.dumps(to_dict(config), indent=2) + "\n").encode())


def kind_of(folder: Path) -> str | None:
    """What config.json says the checkpoint is, where it is another kind than ours; None where it says nothing."""
    try:
        return json.loads((folder / CONFIG_FILE).read_text()).get("kind")
    except (OSError, ValueError, AttributeError):
        return None


def load_config(folder: Path) -> ForecastConfig:
    """Raises ValueError where the folder is no checkpoint or its config is not ours."""
    path = folder / CONFIG_FILE
    if (folder / "checkpoints").is_dir() and not any(folder.glob("*.safetensors")):
        raise ValueError(f"{folder} is a training run that has no checkpoint yet; let it train until there is one")
    if (folder / _VAE_CONFIG_FILE).is_file():
        raise ValueError(f"{folder} is a track VAE alone, which forecasts nothing; train a denoiser on its latents")
    if not path.is_file():
        raise ValueError(f"{folder} is not a checkpoint folder: it has no {CONFIG_FILE}")
    if kind_of(folder) == POLICY:
        raise ValueError(
            f"{folder} is a policy, which acts (trajforecast rollout) and forecasts nothing; its config.json names its forecaster"
        )
    if kind_of(folder) == TRAJLOOM:
        raise ValueError(
            f"{folder} is a checkpoint of TrajLoom, which forecasts from past tracks alone "
            "(Forecaster.from_pretrained(...).predict_from_history); this takes one that forecasts from a picture"
        )
    try:
        values = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not readable JSON: {error}") from error
    try:
        return from_dict(ForecastConfig, values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def save_weights(module: nn.Module, path: Path, dtype: torch.dtype = torch.float32) -> None:
    state = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in module.state_dict().items()}
    write_atomically(path, save(state))


def load_weights(module: nn.Module, path: Path, added: tuple[str, ...] = ()) -> None:
    """Loads safetensors into a module of exactly these names and shapes, in any stored precision.

    Args:
        added: beginnings of the names that the file does not have, whose weights stay as they are.

    Raises:
        ValueError: for a missing, truncated or other file, and for names or shapes that do not fit the config.
    """
    if not path.is_file():
        raise ValueError(f"checkpoint file {path} does not exist")
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a readable safetensors file ({error}); copy the checkpoint again") from error
    if added:
        own = module.state_dict()
        state |= {name: own[name] for name in own.keys() - state.keys() if name.startswith(added)}
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit its {CONFIG_FILE}: {error}") from error


def weights_digest(network: nn.Module) -> str:
    """Of the same weights from another place, the same."""
    weights = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        weights.update(name.encode())
        weights.update(tensor.detach().float().cpu().numpy().tobytes())
    return weights.hexdigest()[:16]


def build_vae(config: ForecastConfig, folder: Path | None = None) -> TrackVAE | None:
    if config.vae is None:
        return None
    vae = TrackVAE(config.vae)
    if folder is not None:
        load_weights(vae, folder / "vae.safetensors")
    return vae


def build_visibility_head(config: ForecastConfig, folder: Path) -> VisibilityHead | None:
    if config.visibility is None:
        return None
    head = VisibilityHead(config.visibility)
    load_weights(head, folder / "visibility_head.safetensors")
    return head


def build_denoiser(config: ForecastConfig, folder: Path | None = None) -> Denoiser:
    denoiser = Denoiser(config.denoiser)
    if folder is not None:
        load_weights(denoiser, folder / "denoiser.safetensors")
    return denoiser
