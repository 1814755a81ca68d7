"""Where this package's launch files, configs and episodes are, in a source checkout and in an installed workspace."""

from pathlib import Path

import trajforecast_ros


def share_folder() -> Path:
    """The folder with launch/ and config/."""
    checkout = Path(trajforecast_ros.__file__).resolve().parents[1]
    if (checkout / "package.xml").is_file():
        return checkout
    from ament_index_python.packages import get_package_share_directory

    return Path(get_package_share_directory("trajforecast_ros"))


def dds_settings() -> dict[str, str]:
    """Environment variables with which large messages arrive: Kilted and Lyrical read the first, Jazzy the second."""
    profile = str(share_folder() / "config" / "fastdds.xml")
    return {"FASTDDS_DEFAULT_PROFILES_FILE": profile, "FASTRTPS_DEFAULT_PROFILES_FILE": profile}


def shipped_episode() -> Path:
    """The episode that comes with the package.

    Raises:
        ValueError: when the installation is incomplete.
    """
    folder = Path(trajforecast_ros.__file__).resolve().parent / "episodes"
    episodes = sorted(folder.glob("*.npz"))
    if not episodes:
        raise ValueError(f"no episode in {folder}; install the package again, or name an episode file")
    return episodes[0]
