from pathlib import Path

import pytest
from synthetic_shards import write_synthetic_data
from tiny_runs import run, vae_config

from trajforecast_model.training.gradients import StepGradients


@pytest.fixture(autouse=True)
def the_same_parameters_are_used_in_every_step(monkeypatch):
    """Of whatever stage a test trains: DistributedDataParallel learns of a static graph once which are. (Attention over one
    latent frame has no use for its queries and keys.)
    """
    ordinary, used_by = StepGradients.compute, {}

    def compute(self, parts, mean_weight):
        totals = ordinary(self, parts, mean_weight)
        used = {name for name, weight in self._model.named_parameters() if weight.grad is not None}
        assert used == used_by.setdefault(id(self), used) and used
        return totals

    monkeypatch.setattr(StepGradients, "compute", compute)


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("discs")
    write_synthetic_data(folder)
    return folder


@pytest.fixture(scope="session")
def barely_trained_vae(data, tmp_path_factory) -> Path:
    """The checkpoint of a VAE after one step, for denoisers that need one and not a good one."""
    folder = tmp_path_factory.mktemp("barely_trained_vae")
    assert run("vae", vae_config(data, folder / "run", steps=1), folder) == 0
    return folder / "run" / "checkpoint"
