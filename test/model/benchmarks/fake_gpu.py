"""A GPU that only counts: what is on it is said by the tests, and what is asked of it is torch.cuda's."""

import torch


class FakeGPU:
    def __init__(self, monkeypatch):
        self._peak = 0
        for name, function in {
            "is_available": lambda: True,
            "device_count": lambda: 1,
            "get_device_name": lambda device=None: "fake GPU",
            "memory_allocated": lambda device=None: 0,
            "max_memory_allocated": lambda device=None: self._peak,
            "reset_peak_memory_stats": lambda device=None: setattr(self, "_peak", 0),
        }.items():
            monkeypatch.setattr(torch.cuda, name, function)

    def use(self, number: int) -> None:
        """So many bytes at once, which are free again afterwards."""
        self._peak = max(self._peak, number)
