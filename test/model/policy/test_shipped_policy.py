"""The policy that is shipped: it is small, opens by its name, and goes with the forecaster that it names."""

from trajforecast_model import Forecaster
from trajforecast_model.checkpoint import SHIPPED, checkpoint_folder
from trajforecast_model.policy.checkpoint import forecaster_digest, load_policy

NAME = "libero_object_policy"
MAX_BYTES = 10 * 2**20


def test_it_opens_by_its_name_beside_the_forecaster_that_it_was_trained_with():
    config, network = load_policy(NAME)
    assert config.tracks == "forecast" and not any(weight.requires_grad for weight in network.parameters())
    forecaster = Forecaster.from_pretrained(config.forecaster)
    assert forecaster_digest(forecaster, with_tracks=True) == config.forecaster_weights


def test_it_is_small_and_has_a_card():
    assert checkpoint_folder(NAME, allow_download=False) == SHIPPED / NAME
    files = list((SHIPPED / NAME).iterdir())
    assert "README.md" in [file.name for file in files] and sum(file.stat().st_size for file in files) <= MAX_BYTES
