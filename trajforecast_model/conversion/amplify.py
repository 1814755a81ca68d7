"""AMPLIFY's released models (arXiv 2506.14198, MIT) as checkpoints of a baseline, run by AMPLIFY's own code.

A checkpoint folder is only config.json, which names the user's checkout of AMPLIFY and the file of weights. That file is
a bundle as `python -m amplify.bundle_amplify` writes it: configs and tensors of all of AMPLIFY's networks, those of its
image encoder included, so that the only thing it takes from elsewhere is T5.
"""

import copy
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import torch
from torch import Tensor, nn

from trajforecast_model.checkpoint import CONFIG_FILE
from trajforecast_model.conversion.borrowed import Origin, fill, import_source, weights_file
from trajforecast_model.files.atomic import new_folder, write_atomically
from trajforecast_model.files.config import from_dict, to_dict
from trajforecast_model.files.state_dicts import find_state_dict
from trajforecast_model.files.torch_files import read_plain

KIND = "amplify"
ORIGIN = Origin(
    model=KIND,
    repository="https://github.com/pairlab/AMPLIFY",
    requirements="timm, torchvision, einops, matplotlib, scipy, h5py, omegaconf, hydra-core, ipython, imageio, wandb, "
    "positional-encodings, vector-quantize-pytorch, sentencepiece and transformers below 5",
    weights="an AMPLIFY checkpoint linked in the README of https://github.com/pairlab/AMPLIFY",
)
_CONFIGS = ("motion_tokenizer_cfg", "forward_dynamics_cfg", "inverse_dynamics_cfg")
_ENCODER_CONFIGS = ("vision_encoder_cfg", "text_encoder_cfg")


@dataclass(frozen=True)
class AmplifyConfig:
    baseline: Literal["amplify"]
    checkout: str  # folder of AMPLIFY's source
    weights: str  # a bundle
    sampling: Literal["argmax", "topk"] = "argmax"  # of codes: the likeliest each, or drawn from the ten likeliest
    dt: float = 0.05  # seconds between frames
    views: dict[str, str] = field(default_factory=lambda: {"agentview": "side", "eye_in_hand": "effector"})  # by camera
    entry: str | None = None  # of several sets of weights in the bundle: model, ema, or a name


@dataclass(frozen=True)
class Amplify:
    """AMPLIFY's own model, and what a caller must know of its config."""

    model: nn.Module  # its class AMPLIFY
    text_encoder: nn.Module  # its T5: the model's, or one of its own where the model was trained on ready embeddings
    views: tuple[str, ...]  # ours, in the order of its cameras
    queries: Tensor  # [N, 2], the grid that its tracks start from: (row, column), -1 to 1 over the image
    image_size: tuple[int, int]  # height, width
    num_frames: int


def convert_amplify(checkpoint: Path, checkout: Path, sampling: str, out: Path, weights: str | None = None) -> None:
    """Writes the checkpoint folder `out`. Runs none of AMPLIFY's code.

    Args:
        weights: "model" or "ema", or an entry of the bundle; None takes the moving average where there is one.

    Raises:
        ValueError: where the checkout or the bundle is not there, or is something else; where `out` holds something.
    """
    values = {
        "baseline": KIND,
        "checkout": str(checkout.expanduser().resolve()),
        "weights": str(checkpoint.expanduser().resolve()),
        "sampling": sampling,
        "entry": weights,
    }
    config = from_dict(AmplifyConfig, values)
    if not (Path(config.checkout) / "amplify" / "amplify.py").is_file():
        raise ValueError(
            f"{checkout} is no checkout of AMPLIFY: it has no amplify/amplify.py; git clone {ORIGIN.repository}"
        )
    bundle = read_bundle(config)
    _views(config, bundle["config"])
    with new_folder(out) as folder:
        write_atomically(folder / CONFIG_FILE, (json.dumps(to_dict(config), indent=2) + "\n").encode())
    print(f"wrote {out}: {config.weights}, {bundle['model']}, by the code in {config.checkout}, {sampling}")


def load_amplify(folder: Path, device: torch.device) -> tuple[AmplifyConfig, Amplify]:
    """AMPLIFY's model as a checkpoint folder names it.

    Raises:
        ValueError: where the config is not readable; checkout, bundle, T5 or packages are missing; or these do not fit.
    """
    try:
        config = from_dict(AmplifyConfig, json.loads((folder / CONFIG_FILE).read_text()))
    except ValueError as error:
        raise ValueError(f"{folder / CONFIG_FILE}: {error}") from error
    bundle = read_bundle(config)
    views = _views(config, bundle["config"])
    tokenizer = bundle["config"]["motion_tokenizer_cfg"]
    with _quiet_and_offline():
        source = import_source(ORIGIN, "amplify.amplify", config.checkout)
        grids = import_source(ORIGIN, "amplify.utils.kp_utils.query_utils", config.checkout)
        model, text_encoder = _build(source, bundle["config"])
        queries = grids.grid_queries(1, tokenizer["num_tracks"], "cpu").standard()[0]
    fill(ORIGIN, model, bundle["model"].tensors)
    if not hasattr(text_encoder.tokenizer, "batch_encode_plus"):
        raise ValueError(f"{KIND}: its T5 calls batch_encode_plus, which transformers 5 has not; install one below 5")
    return config, Amplify(
        model=model.to(device).eval().requires_grad_(False),
        text_encoder=text_encoder.to(device).eval().requires_grad_(False),
        views=views,
        queries=queries,
        image_size=tuple(tokenizer["img_shape"]),
        num_frames=tokenizer["track_pred_horizon"],
    )


def read_bundle(config: AmplifyConfig) -> dict[str, Any]:
    """`config`, nested dicts, and `model`, a StateDict. Raises ValueError where the file is no bundle."""
    path = weights_file(ORIGIN, config.weights)
    bundle = read_plain(path)
    parts = bundle.get("config") if isinstance(bundle, dict) else None
    if not isinstance(parts, dict) or not {*_CONFIGS, *_ENCODER_CONFIGS} <= parts.keys():
        raise ValueError(
            f"{KIND}: {path} is no bundle of all its networks. What its training programs write is put together by "
            "its own `python -m amplify.bundle_amplify`"
        )
    weights = {name: value for name, value in bundle.items() if name != "config"}
    model = find_state_dict(weights, path, config.entry, remedy="choose one by --weights NAME")
    return {"config": parts, "model": model}


def _views(config: AmplifyConfig, parts: dict[str, Any]) -> tuple[str, ...]:
    """Our names of the model's cameras. Raises ValueError for a model that cannot be asked as ours are."""
    tokenizer = parts["motion_tokenizer_cfg"]
    if tokenizer["true_horizon"] != tokenizer["track_pred_horizon"]:
        raise ValueError(
            f"{KIND}: this model forecasts {tokenizer['track_pred_horizon']} steps for {tokenizer['true_horizon']} "
            "frames; only models of one step a frame are taken"
        )
    encoder = parts["vision_encoder_cfg"]["model_name"]
    if not encoder.startswith(("resnet", "vit")):
        raise ValueError(f"{KIND}: its image encoder {encoder} would be downloaded; only those of timm are taken")
    unknown = [camera for camera in tokenizer["cond_cameraviews"] if camera not in config.views]
    if unknown:
        raise ValueError(f"{KIND}: name the view of camera {', '.join(unknown)} under views in {CONFIG_FILE}")
    return tuple(config.views[camera] for camera in tokenizer["cond_cameraviews"])


def _build(source: ModuleType, parts: dict[str, Any]) -> tuple[nn.Module, nn.Module]:
    """Its model, not yet with its weights, and its text encoder."""
    parts = copy.deepcopy(parts)
    # The bundle has the image encoder's weights; pretrained ones would be downloaded first.
    for encoder in (parts["vision_encoder_cfg"], parts["motion_tokenizer_cfg"].get("vision_encoder", {})):
        encoder["pretrained"] = False
    configs = [source.OmegaConf.create(parts[name]) for name in _CONFIGS]
    try:
        model = source.AMPLIFY(*configs, *(parts[name] for name in _ENCODER_CONFIGS))
        own = model.text_encoder is not None
        return model, model.text_encoder if own else source.T5(**parts["text_encoder_cfg"])
    except ImportError as error:  # of an action head that is not the usual one
        raise ValueError(f"{KIND}: its networks cannot be built ({error}); it needs {ORIGIN.requirements}") from error
    except OSError as error:
        size = parts["text_encoder_cfg"].get("size", "small")
        raise ValueError(
            f"{KIND}: its text encoder t5-{size} is not in the cache of Hugging Face on this machine ({error}). "
            f"Where there is a network: hf download t5-{size}"
        ) from error


@contextmanager
def _quiet_and_offline() -> Iterator[None]:
    """Around its import and construction.

    It prints, while our own output may be piped; it sets a hook by which an error starts a debugger; and its T5 would be
    downloaded where the user's environment does not say that it may not.
    """
    hook = sys.excepthook
    ours = [name for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE") if name not in os.environ]
    os.environ.update(dict.fromkeys(ours, "1"))
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        sys.excepthook = hook
        for name in ours:
            del os.environ[name]
