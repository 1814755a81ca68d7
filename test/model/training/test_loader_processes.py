"""Loader processes leave it to the run what a signal means."""

import os
import signal

import numpy as np
import pytest
from torch.utils.data import Dataset

from trajforecast_model.data.shards import Window
from trajforecast_model.training.batches import BatchShare, training_batches


class SignalsItself(Dataset):
    """As a terminal's Ctrl-C and a cluster's SIGTERM do, which reach all processes of a run."""

    def __init__(self, number: signal.Signals):
        self.number = number

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Window:
        os.kill(os.getpid(), self.number)
        image, tracks = np.zeros((8, 8, 3), np.uint8), np.zeros((2, 4, 4, 2), np.float32)
        return Window("task", "demo", index, "side", "stay", image, tracks, np.ones((2, 4, 4), bool), 2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_loader_process_goes_on_when_the_run_is_asked_to_stop(number):
    batches = training_batches(SignalsItself(number), BatchShare(2), seed=0, start=0, workers=1)
    assert next(iter(batches)).images.shape == (2, 8, 8, 3)
