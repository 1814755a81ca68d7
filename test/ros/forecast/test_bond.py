"""The bond with nav2's lifecycle manager. bondpy is on no registry: a stand-in with its interface takes its place."""

import importlib
import sys

import pytest
from rclpy.lifecycle import TransitionCallbackReturn

from trajforecast_ros.forecast import bond, forecast_node

STAND_IN = '''
class Bond:
    """As bondpy's: what is set before `start` counts, and it has a subscription only afterwards."""

    made = []

    def __init__(self, node, topic, id, on_broken=None, on_formed=None):
        self.said = [(node.get_name(), topic, id)]
        self.started = False
        Bond.made.append(self)

    def __setattr__(self, name, value):
        assert not (name.startswith("heartbeat_") and self.started), "too late"
        object.__setattr__(self, name, value)

    def start(self):
        self.started = True
        self.said.append(("start", self.heartbeat_period, self.heartbeat_timeout))

    def shutdown(self):
        assert self.started
        self.said.append("farewell")
'''


@pytest.fixture
def bonds(tmp_path, monkeypatch):
    """The bonds that are made, with a bondpy that can be imported."""
    package = tmp_path / "bondpy"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "bondpy.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.reload(bond)
    monkeypatch.setattr(forecast_node, "ManagersBond", bond.ManagersBond)
    yield bond.Bond.made
    for name in ("bondpy", "bondpy.bondpy"):
        sys.modules.pop(name)
    bond.Bond = None


def test_a_bond_lasts_from_activation_to_deactivation(node_in_this_process, bonds):
    node = node_in_this_process(bond_heartbeat_period=0.25)
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert not bonds
    for number in (1, 2):
        assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        assert len(bonds) == number
        assert bonds[-1].said == [("forecast_node", "bond", "forecast_node"), ("start", 0.25, 4.0)]
        assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
        assert bonds[-1].said[2:] == ["farewell"]

    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_shutdown() == TransitionCallbackReturn.SUCCESS
    assert bonds[-1].said[2:] == ["farewell"]


def test_a_period_of_0_makes_no_bond(node_in_this_process, bonds):
    node = node_in_this_process(bond_heartbeat_period=0.0)
    assert node.trigger_configure() == node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    assert not bonds


def test_without_bondpy_there_is_none(node_in_this_process, monkeypatch):
    monkeypatch.setattr(bond, "Bond", None)
    node = node_in_this_process()
    assert node.trigger_configure() == node.trigger_activate() == TransitionCallbackReturn.SUCCESS
