"""colcon builds both packages from the repository root, and ROS 2 finds what is installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("colcon", path=BIN) is None, reason="colcon is not in this environment")
def test_colcon_builds_both_packages(tmp_path):
    options = ["--build-base", tmp_path / "build", "--install-base", tmp_path / "install"]
    if (Path(sys.prefix) / "share" / "rclpy").is_dir() or "ROS_DISTRO" not in os.environ:
        options += ["--cmake-args", f"-DCMAKE_PROJECT_INCLUDE={ROOT / 'tools' / 'ros_wheels.cmake'}"]
        options += ["-DBUILD_TESTING=OFF", "-GNinja", f"-DPython3_EXECUTABLE={sys.executable}"]
    environment = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "CMAKE_PREFIX_PATH": os.environ.get("CMAKE_PREFIX_PATH", sys.prefix),
        "AMENT_PREFIX_PATH": os.environ.get("AMENT_PREFIX_PATH", sys.prefix),
        "COLCON_LOG_PATH": str(tmp_path / "log"),
    }
    build = subprocess.run(
        [BIN / "colcon", "build", *options], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )

    assert build.returncode == 0, build.stdout + build.stderr
    assert "2 packages finished" in build.stdout + build.stderr
    installed = tmp_path / "install" / "trajforecast_ros"
    index = installed / "share" / "ament_index" / "resource_index" / "packages" / "trajforecast_ros"
    assert index.is_file()
    for executable in ("forecast_node", "replay_node", "record_node"):
        assert os.access(installed / "lib" / "trajforecast_ros" / executable, os.X_OK)
    share = installed / "share" / "trajforecast_ros"
    assert (share / "launch" / "forecast.launch.py").is_file()
    assert (share / "config" / "fastdds.xml").is_file()
    messages = tmp_path / "install" / "trajforecast_msgs"
    assert list(messages.rglob("_predicted_tracks.py"))
