"""Which model a checkpoint folder holds: the forecaster, its ablation in pixels, or one of the baselines."""

from pathlib import Path

from trajforecast_model.baselines.checkpoint import is_baseline, load_baseline
from trajforecast_model.checkpoint import load_config
from trajforecast_model.evaluation.baseline_forecasters import FORECASTERS
from trajforecast_model.evaluation.pixel_forecaster import PixelForecaster
from trajforecast_model.evaluation.point_forecasters import DenseForecaster, PointForecaster
from trajforecast_model.forecaster import DTYPES, Forecaster
from trajforecast_model.networks.text_encoder import BertTextEncoder

# By what it generates.
DENSE_FORECASTERS: dict[str, type[Forecaster]] = {kind.generates: kind for kind in (Forecaster, PixelForecaster)}


def load_point_forecaster(checkpoint: str | Path, device: str, dtype: str) -> PointForecaster:
    """Raises ValueError where that is no checkpoint of the forecaster or of a baseline."""
    if not is_baseline(Path(checkpoint)):
        return DenseForecaster(load_dense_forecaster(checkpoint, device, dtype))
    config, network = load_baseline(Path(checkpoint))
    network, text_encoder = network.to(device, DTYPES[dtype]), BertTextEncoder(config.text_encoder)
    return FORECASTERS[config.baseline](config, network, text_encoder, Path(checkpoint).name, device)


def load_dense_forecaster(checkpoint: str | Path, device: str, dtype: str) -> Forecaster:
    """Raises ValueError where that is no checkpoint of a model that forecasts a whole grid."""
    is_folder = Path(checkpoint).is_dir()  # else it is a hub id, or nothing
    generates = load_config(Path(checkpoint)).generates if is_folder else Forecaster.generates
    return DENSE_FORECASTERS[generates].from_pretrained(checkpoint, device=device, dtype=dtype)
