"""How the forecast node has to be asked for a trained policy to understand its forecasts."""

from trajforecast_model.policy.checkpoint import load_policy


def forecast_parameters(policy: str) -> dict[str, str | int]:
    """Parameters of forecast_node; none for a policy without tracks. Raises ValueError where `policy` is none."""
    config, _ = load_policy(policy)
    if config.tracks == "none":
        return {}
    return {
        "checkpoint": config.forecaster,
        "num_samples": config.forecasting.samples,
        "solver_steps": config.forecasting.steps or 0,
    }
