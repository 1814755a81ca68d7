"""The bookkeeping around CUDA graphs, on a stand-in that does to memory what they do: test/model/cuda has the real ones."""

from contextlib import contextmanager, nullcontext

import pytest
import torch
from on_device_alone import OnDeviceAlone
from stand_in import write_stand_in
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from trajforecast_model.benchmarks.libero_models import libero_config, request_for, untrained_forecaster
from trajforecast_model.benchmarks.training_programs import prepare_ours, prepare_recorded
from trajforecast_model.forecaster import Forecaster
from trajforecast_model.runtime.cuda_graphs import graphed


class Recorder(TorchDispatchMode):
    """Writes down every operation, and does them again on the same memory."""

    def __init__(self):
        super().__init__()
        self.replays, self._operations = 0, []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        output = operation(*args, **(kwargs or {}))
        self._operations.append((operation, args, kwargs or {}, output))
        return output

    @torch.no_grad()
    def replay(self):
        self.replays += 1
        for operation, args, kwargs, output in self._operations:
            for was, now in zip(tree_leaves(output), tree_leaves(operation(*args, **kwargs)), strict=True):
                if isinstance(was, torch.Tensor):
                    was.copy_(now)


@pytest.fixture
def graphs(monkeypatch) -> list[Recorder]:
    """The graphs that were recorded."""
    recorded: list[Recorder] = []

    class Graph(Recorder):
        def __init__(self):
            super().__init__()
            recorded.append(self)

    @contextmanager
    def recording(graph: Recorder):
        with graph:
            yield

    class Stream:
        def wait_stream(self, other):
            pass

    for name, stand_in in {
        "is_available": lambda: True,
        "Stream": Stream,
        "current_stream": Stream,
        "stream": lambda _: nullcontext(),
        "CUDAGraph": Graph,
        "graph": recording,
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    return recorded


def test_each_shape_is_recorded_once_and_replayed_on_new_inputs(graphs):
    run = graphed(lambda x, pair: x * pair[0] + pair[1])
    for value in (1.0, 2.0, 3.0):
        x, (a, b) = torch.full((2, 3), value), torch.rand(2, 2, 3)
        torch.testing.assert_close(run(x, (a, b)), x * a + b)
    assert [graph.replays for graph in graphs] == [3]
    run(torch.ones(4, 3), (torch.ones(4, 3), torch.ones(4, 3)))
    assert [graph.replays for graph in graphs] == [3, 1]


def test_an_output_is_kept_when_the_next_call_writes_over_it(graphs):
    run = graphed(lambda x: x + 1)
    first = run(torch.zeros(3))
    run(torch.ones(3))
    assert first.eq(1).all()


def test_inputs_are_not_changed_and_numbers_belong_to_the_shape(graphs):
    run = graphed(lambda x, power: x.add_(0) ** power)
    x = torch.full((2,), 3.0)
    assert run(x, 2).eq(9).all() and run(x, 3).eq(27).all() and x.eq(3).all()
    assert len(graphs) == 2


def test_a_forecaster_with_graphs_forecasts_the_same(graphs, tiny_checkpoint, monkeypatch):
    monkeypatch.setattr("trajforecast_model.networks.tiles._worth_tiling", lambda x: False)  # as on a GPU
    images = {"side": torch.randint(0, 256, (128, 128, 3), dtype=torch.uint8).numpy()}
    plain, quick = (Forecaster.from_pretrained(tiny_checkpoint) for _ in range(2))
    quick.compile("graphs")
    settings = dict(instruction="push", k=2, steps=3, solver="ab2")
    expected = plain.predict(images, seed=1, **settings).tracks
    for _ in range(2):
        torch.testing.assert_close(quick.predict(images, seed=1, **settings).tracks, expected, rtol=0, atol=1e-3)
    assert [graph.replays for graph in graphs] == [6, 2]  # the network, the decoder


def test_a_recorded_training_step_trains_the_same(graphs, tmp_path):
    write_stand_in(tmp_path)
    config = libero_config("S", depth=1, grid=(8, 8))
    plain, recorded = (
        [step() for _ in range(2)]
        for step in (prepare(tmp_path, config, 1, "cpu", "float32") for prepare in (prepare_ours, prepare_recorded))
    )
    assert len({round(loss, 6) for loss in plain}) == 2
    assert recorded == pytest.approx(plain, rel=1e-4)
    assert [graph.replays for graph in graphs] == [2]


def test_what_is_recorded_of_a_forecast_stays_on_the_device():
    config, meta = libero_config("S", depth=2, grid=(16, 16)), torch.device("meta")
    forecaster = untrained_forecaster(config, "cpu", "float32")
    denoiser, vae = forecaster.denoiser.to(meta), forecaster.vae.to(meta)
    request = request_for(config, 2, 3).to(meta, torch.float32)
    with torch.inference_mode():
        context = denoiser.image_context(request.image_tokens, request.text)
        x = torch.cat([request.noise[:, :, :1], request.noise], dim=2)
        t, latents = torch.empty(2, 1, device=meta), x.flatten(0, 1).flatten(3).transpose(2, 3)
        with OnDeviceAlone():
            denoiser.velocity(x, t, context)
            vae.decode(latents, request.image_tokens)


def test_without_a_gpu_graphs_are_refused(tiny_checkpoint):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match="mode 'graphs' replays CUDA graphs, and this PyTorch sees no GPU"):
        Forecaster.from_pretrained(tiny_checkpoint).compile("graphs")
