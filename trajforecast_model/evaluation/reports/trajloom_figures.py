"""Figures that TrajLoom (arXiv 2603.22606) reports, to stand beside ours: 81 future frames, 480 x 832 px, Euler 10.

Tables 1 and 5 differ in FlowTV and DivCurlE for what is described as one model (7.53 and 7.65 on Kinetics), and those of
"WHN L, DOPRI5" are the same on RoboTAP and MagicData: probably a slip of the paper.
"""

from dataclasses import dataclass

DATASETS = ("Kinetics", "RoboTAP", "Kubric", "MagicData (E)")
Figures = tuple[float, float, float, float]  # of DATASETS


@dataclass(frozen=True)
class PaperRow:
    """Figures of one method as they are printed; None where the paper's table has none."""

    table: str
    method: str
    fvmd: Figures | None = None
    fvmd_long: Figures | None = None  # divided by 1000
    flow_tv: Figures | None = None  # times 100
    div_curl_energy: Figures | None = None  # times 1000
    vepe: Figures | None = None  # px, of a VAE's reconstruction, 81 frames
    vepe_first_24: Figures | None = None  # its first 24 frames


def _motion(table: str, method: str, fvmd: Figures, flow_tv: Figures, div_curl_energy: Figures) -> PaperRow:
    return PaperRow(table, method, fvmd=fvmd, flow_tv=flow_tv, div_curl_energy=div_curl_energy)


def _ablation(table: str, method: str, fvmd_long: Figures, flow_tv: Figures, div_curl_energy: Figures) -> PaperRow:
    return PaperRow(table, method, fvmd_long=fvmd_long, flow_tv=flow_tv, div_curl_energy=div_curl_energy)


def _reconstruction(table: str, method: str, first_24: Figures, whole: Figures) -> PaperRow:
    return PaperRow(table, method, vepe=whole, vepe_first_24=first_24)


PAPER_ROWS = (
    _motion("1", "WHN L", (8999, 7587, 4872, 10383), (24.71, 27.26, 12.56, 26.74), (34.69, 37.39, 9.89, 40.04)),
    _motion("1", "TrajLoom", (3626, 2467, 1338, 2968), (7.53, 6.03, 6.03, 7.11), (3.97, 2.03, 2.09, 2.99)),
    _motion("6", "WHN L, DOPRI5", (8755, 5855, 6284, 9691), (22.06, 14.46, 18.41, 14.46), (28.52, 14.41, 17.58, 14.41)),
    _motion("6", "TrajLoom, DOPRI5", (3182, 2546, 1724, 2358), (4.50, 3.40, 3.09, 3.72), (2.86, 1.17, 1.10, 1.59)),
    _ablation("3, 5", "TrajLoom", (35.06, 21.75, 7.24, 28.27), (7.65, 5.96, 5.03, 7.11), (4.21, 1.89, 1.45, 3.09)),
    _ablation(
        "3", "without offsets", (46.61, 36.43, 31.66, 41.97), (15.92, 15.26, 15.54, 15.01), (19.10, 16.27, 17.66, 16.13)
    ),
    _ablation("5", "without fusion", (39.60, 28.86, 16.38, 33.87), (9.66, 8.66, 9.56, 8.50), (7.29, 5.49, 11.24, 5.04)),
    _ablation(
        "5", "without anchoring", (43.50, 33.12, 20.29, 37.11), (10.07, 9.11, 9.80, 8.90), (7.83, 5.85, 11.71, 5.53)
    ),
    _ablation("5", "20k steps", (40.13, 28.81, 17.02, 33.51), (9.99, 9.09, 9.99, 8.94), (8.09, 5.79, 11.44, 5.63)),
    _ablation(
        "5", "without on-policy", (38.87, 27.38, 13.86, 31.71), (8.98, 8.22, 8.90, 8.16), (6.11, 4.58, 8.12, 4.41)
    ),
    _reconstruction("2", "WHN L's VAE", (63.09, 29.35, 15.97, 69.88), (63.31, 31.52, 16.27, 67.97)),
    _reconstruction("2, 4", "TrajLoom's VAE", (1.99, 1.59, 0.75, 1.72), (2.04, 1.61, 0.77, 1.72)),
    _reconstruction("4", "without offsets", (4.24, 3.98, 3.26, 3.91), (4.30, 4.01, 3.24, 3.99)),
    _reconstruction("4", "without regulariser", (2.99, 2.35, 1.42, 2.65), (3.11, 2.41, 1.47, 3.99)),
)
