"""Learning rate over the steps of a run."""

import math

from trajforecast_model.training.configs import OptimisationConfig


def learning_rate_factor(step: int, config: OptimisationConfig) -> float:
    """Linear warm-up to 1, then constant, or a cosine down to 0.02 at the last step."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.decay == "constant":
        return 1.0
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
