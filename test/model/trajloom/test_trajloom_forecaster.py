"""Forecasts of a TrajLoom checkpoint from past tracks, from a video, and what is refused."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny_trajloom_networks import write_trajloom

from trajforecast_model import Forecaster
from trajforecast_model.checkpoint import load_config
from trajforecast_model.flow.noise import sample_noise
from trajforecast_model.inference import budget
from trajforecast_model.networks.text_encoder import TextEncoderConfig, build_text_encoder
from trajforecast_model.tracks.history import History
from trajforecast_model.trajloom.forecaster import TrajloomForecaster
from trajforecast_model.trajloom.past import followed_past, future_in_pixels

FRAMES, ROWS, COLUMNS = 9, 3, 5
SIZE = (48, 80)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return write_trajloom(tmp_path_factory.mktemp("trajloom"), frames=FRAMES, size=SIZE)


@pytest.fixture
def forecaster(checkpoint) -> TrajloomForecaster:
    loaded = Forecaster.from_pretrained(checkpoint)
    loaded.said = []
    loaded.warn = loaded.said.append
    return loaded


def moving(forecaster: TrajloomForecaster, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Points that go right and down, [FRAMES, ROWS, COLUMNS, 2]."""
    way = np.arange(FRAMES)[:, None, None, None] * np.array([0.01, 0.005]) * size[::-1]
    return (forecaster.query_points(size) + way).astype(np.float32)


def test_tracks_and_visibility_of_every_view(forecaster):
    tracks = moving(forecaster)
    visible = np.ones(tracks.shape[:-1], bool)
    visible[-1, 0, 0] = False
    pasts = {"front": tracks, "back": tracks}
    forecast = forecaster.predict_from_history(pasts, {"front": visible}, k=3, seed=4, dt=0.1)
    assert isinstance(forecaster, TrajloomForecaster) and forecast.views == ("front", "back")
    assert forecast.tracks.shape == (2, 3, 1 + FRAMES, ROWS, COLUMNS, 2) and forecast.tracks.dtype == np.float32
    assert forecast.visibility.shape == forecast.tracks.shape[:-1] and forecast.visibility.dtype == np.float32
    assert (forecast.tracks[:, :, 0] == tracks[-1]).all()  # now
    assert forecast.visibility[0, 0, 0, 0, 0] == 0 and forecast.visibility[0, 0, 0, 1:].all()
    assert ((forecast.visibility >= 0) & (forecast.visibility <= 1)).all()
    assert (forecast.steps, forecast.seed, forecast.dt) == (2, 4, 0.1)
    assert np.abs(forecast.tracks[0] - forecast.tracks[1]).max() > 1e-3  # noise of its own, and visibility counts
    assert forecast.spread[:, 1:].min() >= 0 and forecast.medoid.shape == (2,)


def test_seeds_and_numbers_of_samples(forecaster):
    pasts = {"front": moving(forecaster)}
    three = forecaster.predict_from_history(pasts, k=3, seed=1).tracks
    np.testing.assert_allclose(forecaster.predict_from_history(pasts, k=1, seed=1).tracks, three[:, :1], atol=1e-3)
    assert np.array_equal(forecaster.predict_from_history(pasts, k=3, seed=1).tracks, three)
    assert np.abs(forecaster.predict_from_history(pasts, k=3, seed=2).tracks - three)[:, :, 1:].max() > 1e-3


def test_images_of_another_size_scale(forecaster):
    small = forecaster.predict_from_history({"front": moving(forecaster)}, k=1)
    size = (2 * SIZE[0], 3 * SIZE[1])
    large = forecaster.predict_from_history({"front": moving(forecaster, size)}, image_sizes={"front": size}, k=1)
    np.testing.assert_allclose(large.tracks, small.tracks * [3, 2], rtol=1e-4, atol=1e-2)


def test_the_steps_of_a_forecast_are_those_of_its_parts(forecaster):
    tracks = moving(forecaster)
    forecast = forecaster.predict_from_history({"front": tracks}, k=1, seed=3, steps=5)
    size = np.array(SIZE[::-1], np.float32)
    normalised = torch.from_numpy(2 * (tracks - 0.5) / size - 1).movedim(-1, 1)[None]
    with torch.inference_mode():
        mean, std = forecaster.vae.encode(normalised)
        assert mean.shape == std.shape == (1, 3, ROWS * COLUMNS, 4)
        history = (mean - forecaster.latent_mean) / forecaster.latent_std
        noise = forecaster._sampler.noise(history, 1, [3], ["front"])[:, 0]
        torch.testing.assert_close(noise[0, 0] - history[0, -1], 0.1 * _drawn(3)[0], rtol=1e-4, atol=1e-5)
        z = noise
        for step in range(5):
            t = torch.tensor([min(max(step / 5, 1e-5), 1 - 1e-5)])
            z = z + forecaster.denoiser(z, t, history) / 5
        latents = forecaster.sample_latents_with_history(history, noise, steps=5)
        torch.testing.assert_close(latents, z, rtol=1e-4, atol=1e-4)
        decoded = forecaster.vae.decode(z * forecaster.latent_std + forecaster.latent_mean)
        probability = forecaster.visibility_head(z).sigmoid().repeat_interleave(4, dim=1)[:, :FRAMES]
    pixels, inside = future_in_pixels(decoded, SIZE, forecaster.config)
    np.testing.assert_allclose(forecast.tracks[0, :, 1:], pixels.numpy(), atol=1e-3)
    expected = probability.view(1, FRAMES, ROWS, COLUMNS) * inside
    np.testing.assert_allclose(forecast.visibility[0, :, 1:], expected.numpy(), atol=1e-4)


def _drawn(seed: int) -> torch.Tensor:
    return sample_noise(seed, "front", 1, (3, ROWS * COLUMNS, 4))[0]


def test_positions_outside_are_hidden_and_moved_to_the_border(forecaster):
    tracks = torch.zeros(1, 1, 2, ROWS, COLUMNS)
    tracks[0, 0, 0, 0] = torch.tensor([-3.0, -1.0, 0.0, 0.99, 2.0])
    pixels, inside = future_in_pixels(tracks, SIZE, forecaster.config)
    assert pixels[0, 0, 0, :, 0].tolist() == pytest.approx([0.5, 0.5, 40.5, 79.499, 79.499])
    assert inside[0, 0, 0].tolist() == [True, True, True, False, False]


def test_visibility_of_the_past_counts_inside_the_picture_alone(forecaster):
    tracks = moving(forecaster)
    seen = np.ones(tracks.shape[:-1], bool)
    tracks[:, 0, 0] = -5
    hidden = seen.copy()
    hidden[:, 0, 0] = False
    one, other = (forecaster.predict_from_history({"front": tracks}, {"front": v}, k=1).tracks for v in (seen, hidden))
    assert np.array_equal(one, other)
    assert not np.array_equal(one, forecaster.predict_from_history({"front": tracks}, k=1).tracks)


def test_gaps_where_a_point_is_hidden_are_bridged(forecaster):
    tracks, seen = moving(forecaster), np.ones((FRAMES, ROWS, COLUMNS), bool)
    tracks[4:6, 1, 1] = np.nan
    tracks[:2, 2, 2] = np.inf
    tracks[:, 0, 3] = np.nan
    bridged = moving(forecaster)
    bridged[4:6, 1, 1], bridged[:2, 2, 2] = bridged[3, 1, 1], bridged[2, 2, 2]
    bridged[:, 0, 3] = forecaster.query_points()[0, 3]
    seen[~np.isfinite(tracks).all(-1)] = False
    with_gaps, without = (
        forecaster.predict_from_history({"front": given}, {"front": seen}, k=1).tracks for given in (tracks, bridged)
    )
    assert np.array_equal(with_gaps, without)
    for visible in (None, {"front": np.ones_like(seen)}):
        with pytest.raises(ValueError, match=r"view 'front': 13 positions are not finite"):
            forecaster.predict_from_history({"front": tracks}, visible)


def film(size: tuple[int, int], step: int = 1) -> np.ndarray:
    """A textured picture that moves right by `step` pixels a frame."""
    coarse = np.random.default_rng(0).integers(0, 256, (size[0] // 6, size[1] // 3, 3), dtype=np.uint8)
    wide = cv2.resize(coarse, (2 * size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    start = [20 - step * t for t in range(FRAMES)]
    return np.stack([wide[:, s : s + size[1]] for s in start])


def test_a_video_alone_is_followed_from_its_first_frame(forecaster):
    video = film(SIZE)
    forecast = forecaster.predict_from_history(videos={"front": video}, k=1)
    inner = forecast.tracks[0, 0, 0, 1, 1:4] - forecaster.query_points()[1, 1:4]
    np.testing.assert_allclose(inner, np.broadcast_to([FRAMES - 1, 0], inner.shape), atol=0.7)
    same = forecaster.predict({"front": video[-1]}, history={"front": video[:-1]}, k=1)
    assert np.array_equal(same.tracks, forecast.tracks) and np.array_equal(same.visibility, forecast.visibility)

    def still(frames, points):
        return np.broadcast_to(points, (len(frames), *points.shape)), np.ones((len(frames), len(points)), bool)

    forecast = forecaster.predict_from_history(videos={"front": video}, k=1, tracker=still)
    assert np.array_equal(forecast.tracks[0, 0, 0], forecaster.query_points())


def test_a_video_is_followed_back_from_the_present_where_the_model_learned_it_so(forecaster):
    forecaster.config = replace(forecaster.config, anchor="present", point=(3.0, 2.0))
    forecast = forecaster.predict_from_history(videos={"front": film(SIZE)}, k=1)
    np.testing.assert_array_equal(forecast.tracks[0, 0, 0], forecaster.query_points())
    np.testing.assert_allclose(forecaster.query_points()[0, 0], [3.5, 2.5])
    past = followed_past("front", film(SIZE), forecaster.config).tracks
    inner = past[0, 1, 1:4] - past[-1, 1, 1:4]
    np.testing.assert_allclose(inner, np.broadcast_to([1 - FRAMES, 0], inner.shape), atol=0.7)


def test_what_is_left_out_is_said_once(forecaster):
    pasts = {"front": moving(forecaster)}
    for _ in range(2):
        forecaster.predict_from_history(pasts, k=1)
    assert len(forecaster.said) == 2
    assert "text is left out" in forecaster.said[0] and "video is left out" in forecaster.said[1]


def test_text_and_video_count_where_they_are_given(forecaster):
    pasts = {"front": moving(forecaster)}
    bare = forecaster.predict_from_history(pasts, k=1).tracks
    video = np.random.default_rng(0).standard_normal((3, ROWS * COLUMNS, 3))
    assert (
        np.abs(forecaster.predict_from_history(pasts, video_latents={"front": video}, k=1).tracks - bare).max() > 1e-4
    )
    assert np.abs(forecaster.predict_from_history(pasts, instruction="a cup falls", k=1).tracks - bare).max() > 1e-4


def test_a_caption_is_the_mean_over_what_umt5_makes_of_its_tokens(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

    words = Tokenizer(models.WordLevel({"<pad>": 0, "<unk>": 1, "a": 2, "cup": 3, "falls": 4}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", pad_token="<pad>").save_pretrained(tmp_path)
    torch.manual_seed(0)
    umt5 = UMT5EncoderModel(UMT5Config(vocab_size=8, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)).eval()
    umt5.save_pretrained(tmp_path)
    encoder = build_text_encoder(TextEncoderConfig(source=str(tmp_path), pooling="mean", max_length=128, dim=16))
    with torch.inference_mode():
        expected = umt5(torch.tensor([[2, 3, 4]])).last_hidden_state.mean(dim=1)
    torch.testing.assert_close(encoder(["a cup falls"]), expected, rtol=1e-4, atol=1e-5)


def test_a_caption_without_its_encoder_is_left_out(tmp_path):
    folder = write_trajloom(tmp_path / "checkpoint")
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace('"minilm"', '"somewhere/umt5"'))
    forecaster, said = Forecaster.from_pretrained(folder), []
    forecaster.warn = said.append
    pasts = {"front": moving(forecaster)}
    forecast = forecaster.predict_from_history(pasts, instruction="a cup falls", k=1)
    assert "text is left out: text encoder 'somewhere/umt5' is not on this machine" in said[0]
    assert np.array_equal(forecast.tracks, forecaster.predict_from_history(pasts, k=1).tracks)


def test_without_a_visibility_head_there_is_none(tmp_path):
    forecaster = Forecaster.from_pretrained(write_trajloom(tmp_path / "checkpoint", visibility=False))
    assert forecaster.predict_from_history({"front": moving(forecaster)}, k=1).visibility is None
    assert forecaster.visibility_head is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(), "no past given"),
        (dict(history_tracks={"a": np.zeros((FRAMES - 1, ROWS, COLUMNS, 2))}), r"expected \[9, 3, 5, 2\]"),
        (dict(history_tracks={"a": np.zeros((FRAMES, COLUMNS, ROWS, 2))}), r"got tracks \[9, 5, 3, 2\]"),
        (dict(history_tracks={"a": np.full((FRAMES, ROWS, COLUMNS, 2), np.nan)}), "135 positions are not finite"),
        (dict(history_visibility={"a": np.zeros((FRAMES, ROWS))}), r"got visibility \[9, 3\], expected \[9, 3, 5\]"),
        (dict(history_visibility={"b": np.zeros((FRAMES, ROWS, COLUMNS))}), "view 'b' has no past"),
        (dict(image_sizes={"a": (0, 5)}), "image size of view 'a'"),
        (
            dict(history_tracks={}, videos={"a": np.zeros((4, 48, 80, 3), np.uint8)}),
            "got 4 frames of 48 x 80, expected 9",
        ),
        (dict(history_tracks={}, videos={"a": np.zeros((FRAMES, 48, 80, 3))}), "expected uint8"),
        (dict(k=0), "k: got 0"),
        (dict(seed=-1), "seed: got -1"),
        (dict(dt=0.0), "dt: got 0.0"),
        (dict(solver="euler2"), "solver: got 'euler2'"),
        (dict(video_latents={"a": np.zeros((2, 15, 3))}), r"video: got \[1, 2, 15, 3\], expected \[1, 3, 15, 3\]"),
    ],
)
def test_what_cannot_be_forecast_is_refused(forecaster, arguments, message):
    given = dict(history_tracks={"a": moving(forecaster)}) | arguments
    if not arguments:
        given = {}
    with pytest.raises(ValueError, match=message):
        forecaster.predict_from_history(**given)


def test_a_picture_without_its_past_is_refused(forecaster):
    with pytest.raises(ValueError, match="expected the 8 pictures before the present one"):
        forecaster.predict({"front": film(SIZE)[-1]})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(history={"front": film(SIZE)[:3]}), r"got \[3, 48, 80, 3\], expected the 8 pictures"),
        (dict(history={"front": film(SIZE)[:1]}), "got 1 frames, expected two or more"),
        (dict(history={"front": film((24, 40))[:8]}), r"its frames are \[24, 40\]"),
        (dict(history={"back": film(SIZE)[:8]}), r"history: got \['back'\], expected only views that have an image"),
        (
            dict(history={"front": film(SIZE)[:8]}, history_stamps={"front": np.arange(-8, 0) / 48}),
            "there are pictures for 4 of 8 steps, 0.0416667 s apart",
        ),
        (
            dict(history_tracks={"front": History(np.zeros((8, 3, 5, 2)), np.ones((8, 3, 5), bool))}),
            r"got \[8, 3, 5, 2\]",
        ),
        (
            dict(history_tracks={"front": History(np.zeros((1, 8, 3, 5, 2)), np.ones((1, 8, 3, 5), bool))}),
            r"got tracks \[8, 3, 5, 2\], expected \[9, 3, 5, 2\]",
        ),
        (dict(deadline_ms=0.0), "deadline_ms: got 0.0"),
        (dict(deadline_ms=5.0, solver="dopri5"), "dopri5 chooses its own steps and keeps no deadline"),
    ],
)
def test_a_past_that_is_none_of_the_picture_is_refused(forecaster, given, message):
    video = film(SIZE)
    if not {"history", "history_tracks"} & given.keys():
        given = given | {"history": {"front": video[:-1]}}
    with pytest.raises(ValueError, match=message):
        forecaster.predict({"front": video[-1]}, **given)


@pytest.mark.parametrize("images", [{}, [np.zeros((48, 80, 3), np.uint8)]])
def test_no_pictures_are_refused(forecaster, images):
    with pytest.raises(ValueError, match=r"no image given|images: got a list"):
        forecaster.predict(images)


def test_more_pictures_stamps_and_tracks_say_the_same_as_the_past_alone(forecaster):
    video = film(SIZE)
    now = {"front": video[-1]}
    plain = forecaster.predict(now, history={"front": video[:-1]}, k=1)
    more = np.concatenate([video[:3], video[:-1]])
    assert np.array_equal(forecaster.predict(now, history={"front": more}, k=1).tracks, plain.tracks)
    often, stamps = video[:-1].repeat(2, axis=0), forecaster.config.dt * np.arange(-16, 0) / 2
    stamped = forecaster.predict(now, history={"front": often[1:]}, history_stamps={"front": stamps[1:]}, k=1)
    assert np.array_equal(stamped.tracks, plain.tracks)
    past = followed_past("front", video, forecaster.config)
    tracks = {"front": History(past.tracks[None], past.visible[None])}
    assert np.array_equal(forecaster.predict(now, history_tracks=tracks, k=1).tracks, plain.tracks)


def test_a_deadline_takes_steps_and_samples_away(forecaster, monkeypatch):
    """As `Forecaster` does; time here is that of a clock which a solver step moves on by a second."""
    seconds = [0.0]
    monkeypatch.setattr(budget, "clock", lambda: seconds[0])
    forecaster.before_step = lambda: seconds.__setitem__(0, seconds[0] + 1.0)
    video = film(SIZE)

    def within(deadline_ms: float):
        return forecaster.predict(
            {"front": video[-1]}, history={"front": video[:-1]}, k=2, steps=6, deadline_ms=deadline_ms
        )

    within(1e6)  # the first one measures
    assert within(1e6).steps == 6 and not within(1e6).late
    assert within(4800).steps == 4 and within(4800).seconds == 4.0
    assert within(1.0).steps == 2 and within(1.0).late


def test_a_forecast_ends_before_the_step_at_which_nobody_wants_it(forecaster):
    forecaster.before_step = lambda: (_ for _ in ()).throw(RuntimeError("enough"))
    with pytest.raises(RuntimeError, match="enough"):
        forecaster.predict_from_history({"front": moving(forecaster)})


def test_compiled_networks_forecast_the_same(checkpoint):
    forecasts = []
    for compiled in (False, True):
        forecaster = Forecaster.from_pretrained(checkpoint)
        forecaster.warn = lambda line: None
        if compiled:
            forecaster.compile(backend="eager")
        assert forecaster.is_compiled == compiled
        forecasts.append(forecaster.predict_from_history({"front": moving(forecaster)}, k=2).tracks)
        forecaster.release()
    np.testing.assert_allclose(*forecasts, atol=1e-4)


def test_those_who_need_a_model_of_pictures_say_so(checkpoint):
    with pytest.raises(ValueError, match="is of TrajLoom, which forecasts from the past alone"):
        Forecaster.of_pictures(checkpoint)
    with pytest.raises(ValueError, match="is a checkpoint of TrajLoom, which forecasts from past tracks alone"):
        load_config(checkpoint)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("solver", ["euler", "heun", "dopri5"])
def test_solvers_and_precisions(checkpoint, dtype, solver):
    forecaster = Forecaster.from_pretrained(checkpoint, dtype=dtype)
    forecaster.warn = lambda line: None
    if dtype == "bfloat16" and solver == "dopri5":
        pytest.skip("rounding to bfloat16 is no smooth function for an adaptive solver")
    forecast = forecaster.predict_from_history({"front": moving(forecaster)}, k=1, solver=solver)
    exact = Forecaster.from_pretrained(checkpoint).predict_from_history(
        {"front": moving(forecaster)}, k=1, solver=solver
    )
    np.testing.assert_allclose(forecast.tracks, exact.tracks, atol=1e-3 if dtype == "float32" else 2)
