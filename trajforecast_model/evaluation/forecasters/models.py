"""Which model a checkpoint folder holds: the forecaster, its ablation in pixels, or one of the baselines."""

from pathlib import Path

from trajforecast_model.baselines.checkpoint import baseline_kind, load_baseline
from trajforecast_model.checkpoint import checkpoint_name, export_within, load_config
from trajforecast_model.conversion import amplify as amplify_checkpoint
from trajforecast_model.evaluation.forecasters.amplify import AmplifyForecaster
from trajforecast_model.evaluation.forecasters.baselines import FORECASTERS
from trajforecast_model.evaluation.forecasters.extrapolations import TITLES, ExtrapolationForecaster
from trajforecast_model.evaluation.forecasters.pixels import PixelForecaster
from trajforecast_model.evaluation.forecasters.points import DenseForecaster, PointForecaster
from trajforecast_model.forecaster import Forecaster
from trajforecast_model.inference.loaded_model import DTYPES
from trajforecast_model.networks.text_encoder import build_text_encoder
from trajforecast_model.runtime.device import checked_device
from trajforecast_model.trajloom.checkpoint import is_trajloom
from trajforecast_model.trajloom.forecaster import TrajloomForecaster

# By what it generates.
DENSE_FORECASTERS: dict[str, type[Forecaster]] = {kind.generates: kind for kind in (Forecaster, PixelForecaster)}


def load_point_forecaster(checkpoint: str | Path, device: str, dtype: str) -> PointForecaster:
    """Raises ValueError where that is no checkpoint of the forecaster or of a baseline, nor the name of an extrapolation."""
    if is_extrapolation(checkpoint):
        return ExtrapolationForecaster(str(checkpoint))
    checkpoint = export_within(checkpoint)
    kind = baseline_kind(Path(checkpoint))
    if kind is None:
        return DenseForecaster(load_dense_forecaster(checkpoint, device, dtype))
    place = checked_device(device)
    if kind == amplify_checkpoint.KIND:
        if dtype != "float32":
            raise ValueError(f"dtype: got {dtype}, AMPLIFY's image encoder takes float32 alone")
        return AmplifyForecaster(
            *amplify_checkpoint.load_amplify(Path(checkpoint), place), checkpoint_name(checkpoint), place
        )
    config, network = load_baseline(Path(checkpoint))
    network, text_encoder = network.to(place, DTYPES[dtype]), build_text_encoder(config.text_encoder)
    return FORECASTERS[config.baseline](config, network, text_encoder, checkpoint_name(checkpoint), place)


def is_extrapolation(checkpoint: str | Path) -> bool:
    """Whether that is the name of a forecast without a network, and of no folder that is here."""
    return str(checkpoint) in TITLES and not Path(checkpoint).exists()


def load_dense_forecaster(checkpoint: str | Path, device: str, dtype: str) -> Forecaster | TrajloomForecaster:
    """Raises ValueError where that is no checkpoint of a model that forecasts a whole grid."""
    checkpoint = export_within(checkpoint)
    if (kind := baseline_kind(Path(checkpoint))) is not None:
        raise ValueError(f"{checkpoint} is {kind}, a baseline; this takes checkpoints of `trajforecast train denoiser`")
    read = Path(checkpoint).is_dir() and not is_trajloom(Path(checkpoint))  # else it is a hub id, or nothing
    generates = load_config(Path(checkpoint)).generates if read else Forecaster.generates
    return DENSE_FORECASTERS[generates].from_pretrained(checkpoint, device=device, dtype=dtype)
