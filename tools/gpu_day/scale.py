"""How large everything is: as on the GPU, or so small that a CPU does it in a minute."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    device: str = "cuda"
    dtype: str = "bfloat16"
    size: str = "B"
    depth: int | None = None
    grid: tuple[int, int] = (64, 64)
    views: int = 2
    k: int = 8
    evaluations: tuple[int, ...] = (9, 2, 1)
    runs: int = 30
    pairs: int = 5  # of ours and the official code
    training_pairs: int = 30  # a step is short, and its p99 is wanted
    batch: int = 8
    other_sizes: tuple[str, ...] = ("S", "L")
    few_evaluations: tuple[int, ...] = (9, 1)  # of the other sizes, and of what is compiled
    other_runs: int = 10
    graphs: bool = True
    compilers: tuple[str, ...] = ("reduce-overhead", "default")  # modes of Forecaster.compile that take minutes
    held_out: int | None = None  # windows a view of the evaluation after the training; None for all that are packed
    sample_counts: tuple[int, ...] = (1, 8)
    train_overrides: tuple[str, ...] = ()
    calibration_steps: int = 100  # of the training, in which its speed is measured

    @property
    def most_evaluations(self) -> int:
        return max(self.evaluations)


FULL = Scale()
TOY = Scale(
    device="cpu",
    dtype="float32",  # many CPUs have no bfloat16
    size="S",
    depth=1,
    grid=(16, 16),
    views=1,
    k=1,
    evaluations=(1,),
    runs=1,
    pairs=1,
    training_pairs=1,
    batch=1,
    other_sizes=(),
    graphs=False,
    compilers=(),
    held_out=1,
    sample_counts=(1, 2),
    train_overrides=(
        "denoiser.dim=64",
        "denoiser.depth=2",
        "denoiser.heads=1",
        "image_encoder.dim=64",
        "image_encoder.depth=1",
        "image_encoder.heads=1",
        "optimisation.batch_size=4",
        "data.workers=0",
        "draws_per_window=2",
        "logging.validation_windows=2",
        "logging.validation_samples=1",
    ),
    calibration_steps=3,
)
