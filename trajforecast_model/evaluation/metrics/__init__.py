"""Every metric by name, wherever it is defined. Pure numpy; all lengths in pixels."""

from trajforecast_model.evaluation.metrics.errors import (
    ade,
    best_of_k,
    fde,
    mean_error,
    mean_t,
    min_error,
    nothing_moves_error,
    squared_error,
    vepe,
)
from trajforecast_model.evaluation.metrics.fvmd import (
    FVMD,
    MotionHistograms,
    clips,
    fvmd,
    fvmd_of_histograms,
    fvmd_per_scene,
    motion_histograms,
    rounded_to_eighths,
)
from trajforecast_model.evaluation.metrics.rigidity import lrtl, mean_lrtl
from trajforecast_model.evaluation.metrics.sample_sets import energy_score, scene_sample_variance
from trajforecast_model.evaluation.metrics.smoothness import div_curl_energy, flow_tv
from trajforecast_model.evaluation.metrics.visibility import average_jaccard, occlusion_accuracy, points_within

__all__ = [
    "FVMD",
    "MotionHistograms",
    "ade",
    "average_jaccard",
    "best_of_k",
    "clips",
    "div_curl_energy",
    "energy_score",
    "fde",
    "flow_tv",
    "fvmd",
    "fvmd_of_histograms",
    "fvmd_per_scene",
    "lrtl",
    "mean_error",
    "mean_lrtl",
    "mean_t",
    "min_error",
    "motion_histograms",
    "nothing_moves_error",
    "occlusion_accuracy",
    "points_within",
    "rounded_to_eighths",
    "scene_sample_variance",
    "squared_error",
    "vepe",
]
