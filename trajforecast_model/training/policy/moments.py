"""What a policy learns from: moments of action-labelled demos, both views together, with what the forecaster makes of them.

Image tokens and forecasts of the frozen forecaster are made once a demo and kept on disk; in training all is in memory.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from trajforecast_model.data.action_labels import ACTIONS, LabelledDemo, labelled_demo
from trajforecast_model.data.shards import ShardDataset, read_images
from trajforecast_model.data.sources.names import natural
from trajforecast_model.files.config import to_dict
from trajforecast_model.forecaster import Forecaster
from trajforecast_model.policy.checkpoint import forecaster_digest
from trajforecast_model.policy.tracks import told_tracks
from trajforecast_model.tracks.summary import mean_track, medoid
from trajforecast_model.training.configs import PolicyTrainConfig
from trajforecast_model.training.distributed import World
from trajforecast_model.training.features.cache import FeatureCache, Features

_AT_ONCE = 16  # images that are forecast together
_CONTROL_DT = 0.05  # seconds of a control step of LIBERO's demos, and so of an action


@dataclass(frozen=True)
class MomentBatch:
    image_tokens: Tensor  # float16 [B, V, M, D]
    tracks: Tensor  # float16 [B, V, P, F] of `told_tracks`; no points for a policy without tracks
    body: Tensor  # float32 [B, 9], joints and fingers
    actions: Tensor  # float32 [B, chunk, 7]
    taken: Tensor  # bool [B, chunk]: False after the demo's end
    instructions: list[str]

    def to(self, device: torch.device) -> "MomentBatch":
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return MomentBatch(
            **{
                name: part.to(device, non_blocking=True) if isinstance(part, Tensor) else part
                for name, part in parts.items()
            }
        )


@dataclass(frozen=True)
class _Moment:
    """rows: of the ShardDataset, one a view in the order of the policy's views."""

    task: str
    demo: str
    frame: int
    instruction: str
    rows: tuple[int, ...]


class Moments(Dataset):
    """The moments of a split by index. `load` has to be called before any is read.

    Raises:
        ValueError: where demos, their actions or a view are missing, or are of another shape than the forecaster's.
    """

    def __init__(self, config: PolicyTrainConfig, forecaster: Forecaster, split: str, demos_per_task: int):
        self._config, self._forecaster = config, forecaster
        self._shards = ShardDataset(config.data.folder, split, history=False)
        _check_fits(self._shards, forecaster, config)
        self._moments = list(_moments(self._shards, forecaster.config.views, demos_per_task))
        if not self._moments:
            raise ValueError(
                f"data folder {config.data.folder}: no moment of its {split} split has all views "
                f"({', '.join(forecaster.config.views)}); prepare the demos with these"
            )
        self.instructions = [moment.instruction for moment in self._moments]
        self.demos = len({(moment.task, moment.demo) for moment in self._moments})
        self._read_actions()

    def __len__(self) -> int:
        return len(self._moments)

    def __getitem__(self, index: int) -> int:
        return index  # `collate` takes all of a batch at once

    def collate(self, indices: list[int]) -> MomentBatch:
        return MomentBatch(
            image_tokens=torch.from_numpy(self._tokens[indices]),
            tracks=torch.from_numpy(self._tracks[indices]),
            body=torch.from_numpy(self.body[indices]),
            actions=torch.from_numpy(self.actions[indices]),
            taken=torch.from_numpy(self.taken[indices]),
            instructions=[self.instructions[index] for index in indices],
        )

    def check_some(self) -> None:
        """Raises ValueError where a picture cannot be read."""
        for index in {0, len(self) // 2, len(self) - 1}:
            self._shards.images_at(self._moments[index].rows[0])

    def load(self, world: World) -> None:
        """Makes what the cache lacks, each rank its share, and reads it."""
        shards = sorted({self._shards.place(row)[0] for moment in self._moments for row in moment.rows})
        caches = self._caches()
        rows = Counter(self._shards.place(index)[0] for index in range(len(self._shards)))
        for cache, make, row_bytes in caches:
            cache.check_room({shard: rows[shard] for shard in shards}, row_bytes)
            share = shards[world.rank :: world.size]
            cache.fill(tqdm(share, desc=cache.content, unit="demo", disable=not world.is_first), make)
        world.any(False)  # the shares of the others are there, too
        read = [self._read(cache) for cache, _, _ in caches]
        self._tokens = read[0]
        self._tracks = read[1] if len(read) > 1 else np.zeros((*read[0].shape[:2], 0, 0), np.float16)

    def _read_actions(self) -> None:
        demos: dict[tuple[str, str], LabelledDemo] = {}
        chunk = self._config.chunk
        self.body = np.empty((len(self), 9), np.float32)
        self.actions = np.empty((len(self), chunk, ACTIONS), np.float32)
        self.taken = np.empty((len(self), chunk), bool)
        for number, moment in enumerate(self._moments):
            key = (moment.task, moment.demo)
            if key not in demos:
                demos[key] = labelled_demo(Path(self._config.data.demos), *key)
            demo = demos[key]
            if moment.frame >= len(demo.actions):
                raise ValueError(
                    f"data.demos: {moment.task} {moment.demo} has {len(demo.actions)} frames, data.folder a window at "
                    f"{moment.frame}; give the files that were prepared"
                )
            frames = moment.frame + np.arange(chunk)
            self.taken[number] = frames < len(demo.actions)
            self.actions[number] = demo.actions[np.minimum(frames, len(demo.actions) - 1)]
            self.body[number] = demo.body[moment.frame]

    def _caches(self) -> list[tuple[FeatureCache, Callable[[Path], Features], int]]:
        """What is kept, how it is made of a shard, and the bytes of a row."""
        config, forecaster, folder = self._config, self._forecaster, Path(self._config.data.cache)
        encoder = {"weights": forecaster_digest(forecaster, with_tracks=False)}
        image = forecaster.config.denoiser
        kept = [
            (
                FeatureCache(folder / "tokens", "data.cache", "image tokens", encoder),
                self._tokens_of,
                2 * image.image_grid[0] * image.image_grid[1] * image.image_dim,
            )
        ]
        told = to_dict(config.track_input)
        row_bytes = 2 * config.track_input.num_points * config.track_input.features
        if config.tracks == "exact":
            kept.append((FeatureCache(folder / "exact", "data.cache", "true tracks", told), self._exact_of, row_bytes))
        elif config.tracks != "none":
            made_by = told | to_dict(config.forecasting) | {"weights": forecaster_digest(forecaster, with_tracks=True)}
            kept.append(
                (FeatureCache(folder / "forecasts", "data.cache", "forecasts", made_by), self._forecasts_of, row_bytes)
            )
        return kept

    def _tokens_of(self, shard: Path) -> Features:
        images = read_images(shard)
        parts = [
            self._forecaster.encode_images(list(images[start : start + _AT_ONCE]))
            for start in range(0, len(images), _AT_ONCE)
        ]
        return {"image_tokens": torch.cat(parts).float().cpu().numpy()}

    def _forecasts_of(self, shard: Path) -> Features:
        """Seeds are the windows' frames, so that neighbours are not forecast from the same noise."""
        asked, config = self._config.forecasting, self._config.track_input
        images, rows = read_images(shard), self._rows_of(shard)
        instructions, starts = self._shards.rows.instruction[rows], self._shards.rows.start[rows]
        told = []
        for start in range(0, len(images), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            forecast = self._forecaster.predict_batch(
                images[some], list(instructions[some]), asked.samples, asked.steps, [int(s) for s in starts[some]]
            )
            size = images.shape[1:3]
            told += [told_tracks(tracks[medoid(tracks)], mean_track(tracks), size, config) for tracks in forecast]
        return {"tracks": np.stack(told)}

    def _exact_of(self, shard: Path) -> Features:
        size, config = self._shards.info.image_size, self._config.track_input
        true = (self._shards[row].tracks for row in self._rows_of(shard))
        return {"tracks": np.stack([told_tracks(tracks, tracks, size, config) for tracks in true])}

    def _rows_of(self, shard: Path) -> list[int]:
        """Of the ShardDataset, in the order of the shard's."""
        return [index for index in range(len(self._shards)) if self._shards.place(index)[0] == shard]

    def _read(self, cache: FeatureCache) -> np.ndarray:
        """[N, V, ...]"""
        return np.stack(
            [
                np.stack([next(iter(cache.read(*self._shards.place(row)).values())) for row in moment.rows])
                for moment in self._moments
            ]
        )


def _moments(shards: ShardDataset, views: tuple[str, ...], demos_per_task: int) -> Iterator[_Moment]:
    """Of the first demos of each task, in the order of task, demo and frame."""
    rows = shards.rows
    found: dict[tuple[str, str, int], dict[str, int]] = {}
    for index in range(len(shards)):
        found.setdefault((rows.task[index], rows.demo[index], int(rows.start[index])), {})[rows.view[index]] = index
    demos: dict[str, set[str]] = {}
    for task, demo, _ in found:
        demos.setdefault(task, set()).add(demo)
    chosen = {task: set(sorted(names, key=natural)[:demos_per_task]) for task, names in demos.items()}
    for (task, demo, frame), by_view in found.items():
        if demo in chosen[task] and all(view in by_view for view in views):
            of_views = tuple(by_view[view] for view in views)
            yield _Moment(str(task), str(demo), frame, str(rows.instruction[of_views[0]]), of_views)


def _check_fits(shards: ShardDataset, forecaster: Forecaster, config: PolicyTrainConfig) -> None:
    info = shards.info
    if abs(info.dt - _CONTROL_DT) > 1e-3:
        raise ValueError(
            f"data folder {shards.folder} has frames every {info.dt:g} s, and actions are taken every {_CONTROL_DT:g} s; "
            "prepare the demos at that rate"
        )
    if tuple(info.image_size) != tuple(forecaster.config.image_size):
        raise ValueError(
            f"data folder {shards.folder} has images of {list(info.image_size)}, the forecaster {config.forecaster!r} "
            f"takes {list(forecaster.config.image_size)}; prepare the demos at that size"
        )
    if config.tracks != "none":
        config.track_input.check_fits(forecaster.config.num_frames, forecaster.config.grid)
