"""Parts of a batch of tokens that fit a CPU's cache, one after another through a whole block.

A block of a transformer passes some twenty times over its tokens, and the hidden layer of its MLP is four times as wide.
Over a forecast's 65,536 tokens each pass goes to main memory; over 1,024 of them it stays in cache. Attention sets the
limits of a part: in a block over space it is a number of whole frames, in one over time a number of whole tokens.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from trajforecast_model.networks.layers import KeysValues

TILE_TOKENS = 1024


class Tile(NamedTuple):
    """Index into tokens [N, S, T, L, D]."""

    images: slice
    samples: slice
    frames: slice
    positions: slice


def transform_by_tiles(
    transform: Callable[[Tensor, KeysValues | None, Tensor | None], Tensor],
    x: Tensor,
    over_time: bool,
    image: KeysValues | None = None,
    modulation: Tensor | None = None,
) -> Tensor:
    """transform(x, image, modulation): in place and tile by tile in inference on a CPU, at once elsewhere.

    Args:
        transform: takes and gives [n, s, frames, positions, D], or [n, s, positions, frames, D] if `over_time`, and
            mixes neighbours on the last axis but one.
        x: [N, S, T, L, D]
        image: keys and values of the N images.
        modulation: [N, S or 1, 1, 1, ...]
    """
    if not _worth_tiling(x):
        return _transposed(transform(_transposed(x, over_time), image, modulation), over_time)
    for tile in tiles(x.shape[:4], over_time, TILE_TOKENS):
        of_sample = tile.samples if modulation is not None and modulation.shape[1] > 1 else slice(None)
        x[tile] = _transposed(
            transform(
                _transposed(x[tile], over_time),
                None if image is None else KeysValues(image.keys[tile.images], image.values[tile.images]),
                None if modulation is None else modulation[tile.images, of_sample],
            ),
            over_time,
        )
    return x


def _transposed(x: Tensor, over_time: bool) -> Tensor:
    # Copied, so that no operation after it has to.
    return x.transpose(2, 3).contiguous() if over_time else x


def _worth_tiling(x: Tensor) -> bool:
    # Tiles are written in place, which cannot be differentiated; a compiler unrolls loops, and fuses passes by itself.
    return x.device.type == "cpu" and not torch.is_grad_enabled() and not torch.compiler.is_compiling()


def tiles(shape: tuple[int, int, int, int], over_time: bool, tokens: int) -> Iterator[Tile]:
    """Cuts [N, S, T, L] into tiles of about `tokens`, that many if attention's reach allows."""
    images, samples, frames, positions = shape
    everything = slice(None)
    if images * samples * frames * positions <= 2 * tokens:
        yield Tile(everything, everything, everything, everything)
        return
    reach, across = (frames, positions) if over_time else (positions, frames)  # of attention, and what it does not mix
    samples_a_tile = max(1, tokens // (frames * positions))
    across_a_tile = across if samples_a_tile > 1 else max(1, tokens // reach)
    for image in range(images):
        for sample in range(0, samples, samples_a_tile):
            for start in range(0, across, across_a_tile):
                part = slice(start, start + across_a_tile)
                yield Tile(
                    slice(image, image + 1),
                    slice(sample, sample + samples_a_tile),
                    everything if over_time else part,
                    part if over_time else everything,
                )
