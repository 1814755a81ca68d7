"""Every config that ships: it loads, its arithmetic holds, and it takes a step on data of its shape."""

import functools
import re
import shutil
from pathlib import Path

import pytest
import torch
from synthetic_shards import write_synthetic_data
from tiny_runs import run, state
from transformers import BertConfig, BertModel, BertTokenizer, Dinov2Config, Dinov2Model

from trajforecast_model import Forecaster
from trajforecast_model.checkpoint import SHIPPED
from trajforecast_model.data.shards import DatasetInfo
from trajforecast_model.files.config import load, to_dict
from trajforecast_model.training.configs import (
    DenoiserTrainConfig,
    PolicyTrainConfig,
    RunConfig,
    VAETrainConfig,
    VisibilityTrainConfig,
)

CONFIGS = sorted((Path(__file__).parents[3] / "config" / "train").glob("*.yaml"))
SHAPES = {  # of a dataset: frames, grid, image
    "libero": (16, (64, 64), (128, 128)),
    "kubric": (24, (32, 32), (256, 256)),
    "blocks": (24, (32, 32), (256, 256)),
    "physion": (30, (32, 32), (256, 256)),
    "physics101": (30, (32, 58), (256, 464)),
}


KINDS = {
    "vae": VAETrainConfig,
    "visibility": VisibilityTrainConfig,
    "policy": PolicyTrainConfig,
    "denoiser": DenoiserTrainConfig,
}


def stage_of(path: Path) -> str:
    return next((stage for stage in KINDS if stage in path.stem.split("_")), "denoiser")


def load_config(path: Path, overrides: list[str] | None = None) -> RunConfig:
    return load(KINDS[stage_of(path)], path, overrides)


def names(*patterns: str):
    return [pytest.param(path, id=path.stem) for path in CONFIGS if any(path.match(pattern) for pattern in patterns)]


@pytest.fixture(scope="module")
def datasets(tmp_path_factory) -> dict[str, Path]:
    folders = {}
    for name, (frames, grid, image_size) in SHAPES.items():
        folders[name] = tmp_path_factory.mktemp(name)
        info = DatasetInfo(labeler="exact", stride=1, num_frames=frames, grid=grid, image_size=image_size)
        write_synthetic_data(folders[name], train=2, val=1, info=info)
    return folders


@pytest.fixture(scope="module")
def encoders(tmp_path_factory) -> dict[str, Path]:
    """DINOv2 and BERT of the configs' widths, of a single layer with random weights, as transformers stores them."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("encoders")
    for name, width in (("facebook/dinov2-small", 384), ("facebook/dinov2-large", 1024)):
        one_layer = Dinov2Config(
            hidden_size=width, num_hidden_layers=1, num_attention_heads=4, mlp_ratio=1, patch_size=14, image_size=56
        )
        Dinov2Model(one_layer).save_pretrained(folder / name)
    bert = BertConfig(vocab_size=8, hidden_size=768, num_hidden_layers=1, num_attention_heads=4, intermediate_size=8)
    BertModel(bert).save_pretrained(folder / "bert-base-cased")
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "push", "the", "disc"]))
    BertTokenizer(str(vocabulary)).save_pretrained(folder / "bert-base-cased")
    return {name: folder / name for name in ("facebook/dinov2-small", "facebook/dinov2-large", "bert-base-cased")}


def at_reduced_depth(config: dict, out: Path, data: Path, encoders: dict[str, Path], vae: Path | None) -> dict:
    """The same networks of two blocks, on one window in a micro-batch and at most two of these in a step."""
    network = config["vae" if isinstance(config["vae"], dict) else "denoiser"]
    network |= dict(dim=32, depth=2, heads=1)
    if config["image_encoder"]["kind"] == "dinov2":
        config["image_encoder"]["source"] = str(encoders[config["image_encoder"]["source"]])
    if config.get("text_encoder") and config["text_encoder"]["source"] in encoders:
        config["text_encoder"]["source"] = str(encoders[config["text_encoder"]["source"]])
    if isinstance(config["vae"], str):
        config["vae"] = str(vae)
    if "sampling_steps" in config:
        config["sampling_steps"] = 1
    accumulate = min(config["optimisation"]["accumulate"], 2)
    config["optimisation"] |= dict(steps=1, batch_size=accumulate, accumulate=accumulate, compile=False)
    config["logging"] |= dict(validation_windows=1, validation_samples=1)
    return config | {"out": str(out), "data": {"folder": str(data), "workers": 0}}


@pytest.fixture(scope="module")
def take_a_step(datasets, encoders, tmp_path_factory):
    """Trains a config for a step, the VAE that it names before it, and returns the checkpoint; each only once."""
    folder = tmp_path_factory.mktemp("steps")

    @functools.cache
    def take(path: Path) -> Path:
        config = load_config(path)
        vae = config.vae
        if isinstance(vae, str):  # runs/NAME/checkpoint
            vae = take(path.with_name(f"{Path(vae).parent.name}.yaml"))
        out, data = folder / path.stem, datasets[path.stem.split("_")[0]]
        config = at_reduced_depth(to_dict(load_config(path)), out, data, encoders, vae)
        assert run(stage_of(path), config, folder) == 0
        assert state(out)["step"] == 1
        return out / "checkpoint"

    yield take
    shutil.rmtree(folder)  # the steps of every config are 0.4 GB


@pytest.mark.slow
@pytest.mark.parametrize("path", names("*"))
def test_a_shipped_config_takes_a_step(path, take_a_step):
    if "student" in path.stem or "history" in path.stem:  # test_student.py, and below
        pytest.skip("starts from the shipped checkpoint, whose depth is not to be reduced")
    if "policy" in path.stem:
        pytest.skip("learns from actions: test_policy_training.py")
    assert list(take_a_step(path).glob("*.safetensors"))


def test_the_shipped_checkpoint_is_trained_on_with_history_and_then_told_what_will_be_seen(tmp_path):
    write_synthetic_data(tmp_path / "data", info=DatasetInfo(labeler="exact", stride=1, history_frames=16))
    one_step = {"steps": 1, "batch_size": 1, "precision": "float32"}
    for stage, name, starts in (
        ("denoiser", "libero_object_history", {"start_from": str(SHIPPED / "libero_object_tiny")}),
        ("visibility", "libero_object_history_visibility", {"forecaster": str(tmp_path / "libero_object_history")}),
    ):
        (path,) = (path for path in CONFIGS if path.stem == name)
        config = to_dict(load_config(path)) | starts | {"out": str(tmp_path / name)}
        config["data"] = {"folder": str(tmp_path / "data"), "workers": 0}
        config["optimisation"] |= one_step
        config["logging"] |= dict(validation_windows=1, validation_samples=1)
        assert run(stage, config, tmp_path) == 0
    forecaster = Forecaster.from_pretrained(tmp_path / "libero_object_history_visibility")
    assert forecaster.history_frames == 16 and forecaster.config.visibility is not None


@pytest.mark.parametrize("path", names("libero_atm*", "libero_tramoe*", "kubric*", "physion*", "physics101*"))
def test_the_heading_tells_the_command_and_the_arithmetic(path):
    config, heading = load_config(path), path.read_text().split("extends:")[0]
    assert f"trajforecast train {stage_of(path)} --config config/train/{path.name}" in heading
    assert "not measured" in heading and Path(config.out) == Path("runs") / path.stem
    optimisation = config.optimisation
    if optimisation.accumulate > 1:
        gpus, micro_batches, size = map(int, re.search(r"= (\d+) GPU x (\d+) micro-batches x (\d+)", heading).groups())
        assert micro_batches == optimisation.accumulate
        assert gpus * micro_batches * size == optimisation.batch_size
        return
    gpus, size = map(int, re.search(r"windows a step = (\d+) GPUs x (\d+)", heading).groups())
    assert gpus * size == optimisation.batch_size
    windows, batch, steps = (
        int(number.replace(",", ""))
        for number in re.search(r"([\d,]+)[a-z ]* / (\d+) = ([\d,]+) steps", heading).groups()
    )
    assert batch == optimisation.batch_size and steps == -(-windows // batch)
    epochs = int(re.search(r"steps: .*?([\d,]+) epochs", path.read_text()).group(1).replace(",", ""))
    assert optimisation.steps == epochs * steps


def test_the_paper_s_experiments_are_all_there():
    found = {path.stem for path in CONFIGS}
    for protocol in ("libero_atm", "libero_tramoe", "kubric", "physion", "physics101"):
        assert f"{protocol}_vae" in found
        for size in ("s", "b", "l") if protocol == "kubric" else ("b",):
            assert {f"{protocol}_{size}", f"{protocol}_{size}_tracks"} <= found
    assert {"libero_atm_vae_24gb", "libero_atm_b_24gb"} <= found
