"""Networks in files of tensors, in every wrapping that trainings give them."""

import argparse
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

from trajforecast_model.files.state_dicts import read_state_dict
from trajforecast_model.files.torch_files import read_plain

NETWORK = {"blocks.0.weight": torch.full((2, 2), 3.0), "head.bias": torch.ones(2)}
AVERAGE = {key: value + 1 for key, value in NETWORK.items()}
SIGN = "blocks.0.weight"


def behind(prefix: str, state: dict = NETWORK) -> dict:
    return {prefix + key: value for key, value in state.items()}


def saved(tmp_path, content) -> Path:
    torch.save(content, tmp_path / "file.pt")
    return tmp_path / "file.pt"


def same(found, expected=NETWORK) -> bool:
    return found.tensors.keys() == expected.keys() and all(torch.equal(found.tensors[k], expected[k]) for k in expected)


def optimiser_state() -> dict:
    network = nn.Linear(2, 2)
    optimiser = torch.optim.AdamW(network.parameters())
    network(torch.ones(2)).sum().backward()
    optimiser.step()
    return optimiser.state_dict()


OF_A_TRAINING = {
    "optimizer_state_dict": optimiser_state(),
    "opt": optimiser_state(),  # known by what it is
    "ema_optimizer": {"exp_avg": torch.ones(3)},  # known by its name
    "lr_scheduler_state_dict": {"last_lr": [0.1], "base": torch.ones(1)},
    "rng": {"cpu": torch.get_rng_state()},
    "step": torch.tensor(7.0),
    "epoch": 3,
    "args": argparse.Namespace(lr=0.1, out=Path("runs")),
    "wandb": {"run": {"id": "abc"}},
}


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.",
                                    "net.", "model.net._orig_mod.module."])  # fmt: skip
@pytest.mark.parametrize(
    "entry", [None, "model_state_dict", "state_dict", "model", "vae", "generator", "predictor", "anything"]
)
def test_a_network_is_found_whatever_it_is_wrapped_in(tmp_path, entry, prefix):
    content = behind(prefix) if entry is None else {entry: behind(prefix)} | OF_A_TRAINING
    for sign in (SIGN, None):
        found = read_state_dict(saved(tmp_path, content), sign=sign)
        assert same(found) and found.prefix == prefix and found.entry == (entry or "")
    if prefix:
        assert repr(prefix) in str(found)


def test_a_network_beside_a_training_s_tensors_without_an_entry_of_its_own(tmp_path):
    found = read_state_dict(saved(tmp_path, NETWORK | {"optimizer": optimiser_state(), "epoch": 3}))
    assert same(found)


def test_nested_entries_are_looked_into(tmp_path):
    found = read_state_dict(saved(tmp_path, {"checkpoint": {"model": behind("module.")}, "latent_std": torch.ones(8)}))
    assert same(found) and found.entry == "checkpoint.model"


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_safetensors_are_known_by_their_content(tmp_path, ending):
    save_file(behind("module."), tmp_path / f"weights.{ending}")
    assert same(read_state_dict(tmp_path / f"weights.{ending}"))
    damaged = (tmp_path / f"weights.{ending}").read_bytes()[:-3]
    (tmp_path / f"weights.{ending}").write_bytes(damaged)
    with pytest.raises(ValueError, match="not a file of plain tensors"):
        read_state_dict(tmp_path / f"weights.{ending}")


@pytest.mark.parametrize("entry", ["ema_state_dict", "ema", "model_ema", "ema_model", "averaged_model", "swa"])
def test_of_model_and_average_the_average_is_taken_unless_the_model_is_asked_for(tmp_path, entry):
    path = saved(tmp_path, {"model_state_dict": behind("module._orig_mod."), entry: AVERAGE} | OF_A_TRAINING)
    found = read_state_dict(path, sign=SIGN)
    assert same(found, AVERAGE) and str(found).startswith("the moving average in entry")
    assert same(read_state_dict(path, "ema"), AVERAGE)
    model = read_state_dict(path, "model")
    assert same(model) and str(model).startswith("the model in entry 'model_state_dict'")
    assert same(read_state_dict(path, "model_state_dict"))


def test_an_average_as_pytorch_makes_it_is_known_by_its_counter(tmp_path):
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    average = AveragedModel(network)
    average.update_parameters(network)
    path = saved(tmp_path, {"first": network.state_dict(), "second": behind("module.", average.state_dict())})
    found = read_state_dict(path)
    assert found.entry == "second" and found.is_average and found.prefix == "module.module."
    assert found.tensors.keys() == network.state_dict().keys()


def test_networks_side_by_side_in_one_state_dict_are_told_apart_by_their_prefix(tmp_path):
    content = behind("model.") | behind("ema_model.", AVERAGE) | {"loss.weight": torch.ones(1), "n": torch.tensor(1)}
    path = saved(tmp_path, {"state_dict": content})
    found = read_state_dict(path, sign=SIGN)
    assert same(found, AVERAGE) and found.name == "state_dict.ema_model" and "other tensors left out" in str(found)
    assert same(read_state_dict(path, "model", SIGN))
    assert same(read_state_dict(path, "state_dict.model", SIGN))


def test_of_several_networks_none_is_guessed(tmp_path):
    path = saved(tmp_path, {"generator": NETWORK, "discriminator": AVERAGE})
    with pytest.raises(
        ValueError, match="several sets of weights, 'generator', 'discriminator'; choose one by --weights"
    ):
        read_state_dict(path, remedy="choose one by --weights NAME")
    assert same(read_state_dict(path, "generator"))
    path = saved(tmp_path, {"generator": NETWORK, "discriminator": {"other.weight": torch.ones(2)}})
    assert same(read_state_dict(path, sign=SIGN))  # the other one is none of these


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("ema", "has no moving average; what it holds is 'model'"),
        ("modle", "has no weights 'modle'; what it holds is 'model'"),
        ("optimizer_state_dict", "has no weights 'optimizer_state_dict'; what it holds is 'model'"),
    ],
)
def test_a_choice_that_is_not_there_is_refused_with_what_is(tmp_path, choice, message):
    with pytest.raises(ValueError, match=message):
        read_state_dict(saved(tmp_path, {"model": NETWORK} | OF_A_TRAINING), choice)


@pytest.mark.parametrize(
    "content", [OF_A_TRAINING, {}, [NETWORK], torch.ones(2), {"epoch": 3}, {0: torch.ones(2)}, optimiser_state()]
)
def test_a_file_without_a_network_is_refused(tmp_path, content):
    with pytest.raises(ValueError, match="expected a state dict"):
        read_state_dict(saved(tmp_path, content))


class Trap:
    sprung = False

    def __reduce__(self):
        return setattr, (Trap, "sprung", True)


def test_objects_are_named_and_not_run(tmp_path):
    with pytest.raises(ValueError, match=r"objects of \S*setattr in it, which are not run"):
        read_plain(saved(tmp_path, {"model": NETWORK, "config": Trap()}))
    assert not Trap.sprung
