"""policy.launch.py under `ros2 launch` itself: the loop closes with both policies; run where ROS 2's launch is installed."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from std_msgs.msg import Float32MultiArray
from tiny_policy import write_policy

from trajforecast_ros.qos import EVERYTHING

pytest.importorskip("ros2launch")

ROOT = Path(__file__).parents[3]
ROS2_LAUNCH = [sys.executable, "-c", "import sys; from ros2cli.cli import main; sys.exit(main())", "launch"]
MILK = 7


@pytest.fixture
def prefix(tmp_path) -> Path:
    """Where ament finds this tree as an installed package, without colcon."""
    index = tmp_path / "prefix/share/ament_index/resource_index/packages/trajforecast_ros"
    share, programs = tmp_path / "prefix/share/trajforecast_ros", tmp_path / "prefix/lib/trajforecast_ros"
    for folder in (index.parent, share, programs):
        folder.mkdir(parents=True)
    index.touch()
    for folder in ("launch", "config"):
        shutil.copytree(ROOT / folder, share / folder)
    for name, module in re.findall(r'"(\w+_node) = ([\w.]+):main"', (ROOT / "setup.py").read_text()):
        program = programs / name
        program.write_text(f"#!{sys.executable}\nimport sys\nfrom {module} import main\nsys.exit(main())\n")
        program.chmod(0o755)
    return tmp_path / "prefix"


@pytest.mark.slow
@pytest.mark.parametrize("trained", [True, False], ids=["trained", "example"])
def test_the_launched_policy_closes_the_loop_and_ctrl_c_ends_it(prefix, tiny_checkpoint, tmp_path, listener, trained):
    arguments = [f"task:={MILK}", "seed:=100000", "num_samples:=2"]
    if trained:
        arguments += [f"policy:={write_policy(tmp_path / 'policy', tiny_checkpoint)}"]
    else:
        arguments += [f"checkpoint:={tiny_checkpoint}"]
    paths = f"{prefix}{os.pathsep}{os.environ.get('AMENT_PREFIX_PATH', sys.prefix)}"
    environment = os.environ | {"AMENT_PREFIX_PATH": paths, "ROS_LOG_DIR": str(tmp_path / "log")}
    actions = []
    listener.node.create_subscription(Float32MultiArray, "simulator_node/action", actions.append, EVERYTHING)
    log = tmp_path / "launch.log"
    with open(log, "wb") as output:
        launched = subprocess.Popen(
            [*ROS2_LAUNCH, "trajforecast_ros", "policy.launch.py", *arguments],
            env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:

        def acted() -> bool:
            assert launched.poll() is None, log.read_text()
            assert "process has died" not in log.read_text(), log.read_text()
            return len(actions) >= 10

        listener.wait_for(acted, "ten actions")
        assert not trained or all(any(action.data[:6]) for action in actions)
        os.killpg(launched.pid, signal.SIGINT)
        launched.wait(timeout=300)
    finally:
        if launched.poll() is None:
            os.killpg(launched.pid, signal.SIGKILL)
            launched.wait()
    said = log.read_text()
    assert "Traceback" not in said and said.count("process has finished cleanly") == 3, said
    assert ("track_policy_node" in said) == trained
