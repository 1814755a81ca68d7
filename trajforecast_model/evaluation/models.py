"""Which model a checkpoint folder holds: the forecaster, or one of the baselines."""

from pathlib import Path

from trajforecast_model.baselines.checkpoint import is_baseline, load_baseline
from trajforecast_model.evaluation.baseline_forecasters import FORECASTERS
from trajforecast_model.evaluation.point_forecasters import DenseForecaster, PointForecaster
from trajforecast_model.forecaster import DTYPES, Forecaster
from trajforecast_model.networks.text_encoder import BertTextEncoder


def load_point_forecaster(checkpoint: str | Path, device: str, dtype: str) -> PointForecaster:
    """Raises ValueError where that is no checkpoint of the forecaster or of a baseline."""
    if not is_baseline(Path(checkpoint)):
        return DenseForecaster(Forecaster.from_pretrained(checkpoint, device=device, dtype=dtype))
    config, network = load_baseline(Path(checkpoint))
    network, text_encoder = network.to(device, DTYPES[dtype]), BertTextEncoder(config.text_encoder)
    return FORECASTERS[config.baseline](config, network, text_encoder, Path(checkpoint).name, device)
