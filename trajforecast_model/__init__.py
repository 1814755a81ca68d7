"""Dense point-track forecasting: two images and an instruction in, k sampled futures out."""

__version__ = "0.1.0"


def __getattr__(name: str):
    # Importing the forecaster imports torch; the command line's --help and the config reader should not.
    if name in ("Forecaster", "Forecast"):
        from trajforecast_model import forecaster

        return getattr(forecaster, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
