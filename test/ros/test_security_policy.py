"""The SROS2 policy grants what the forecast node uses, and nothing more."""

import xml.etree.ElementTree as ElementTree

import pytest
from rclpy._rclpy_pybind11 import NodeNameNonExistentError
from robot import NODE, settings

from trajforecast_ros.resources import share_folder
from trajforecast_ros.viewing import foxglove

POLICY = ElementTree.parse(share_folder() / "config" / "sros2" / "policy.xml").getroot()


def granted(rule: str, namespace: str) -> set[str]:
    """Full names of what the policy allows the node to `publish`, `subscribe` or `reply`, were it in that namespace."""
    [profile] = POLICY.iter("profile")
    prefix = namespace.rstrip("/")
    names = [name.text for permissions in profile if permissions.get(rule) == "ALLOW" for name in permissions]
    assert len(set(names)) == len(names), "nothing is granted twice"
    return {resolved(name, prefix, profile.get("node")) for name in names}


def resolved(name: str, prefix: str, node: str) -> str:
    if name.startswith("/"):
        return name
    return f"{prefix}/{node}{name[1:]}" if name.startswith("~/") else f"{prefix}/{name}"


def used(node, namespace: str) -> dict[str, set[str]]:
    """Full names of what a running forecast node publishes, subscribes to and serves, by the policy's rules."""
    found = {
        "publish": node.get_publisher_names_and_types_by_node,
        "subscribe": node.get_subscriber_names_and_types_by_node,
        "reply": node.get_service_names_and_types_by_node,
    }
    return {rule: {name for name, _ in look("forecast_node", namespace)} for rule, look in found.items()}


def test_policy_has_the_form_that_sros2_reads():
    assert (POLICY.tag, POLICY.get("version")) == ("policy", "0.2.0")
    assert [enclave.get("path") for enclave in POLICY.iter("enclave")] == ["/forecast_node"]
    [profile] = POLICY.iter("profile")
    assert (profile.get("ns"), profile.get("node")) == ("/", "forecast_node")
    for permissions in profile:
        kind, rules = {"topics": ("topic", {"publish", "subscribe"}), "services": ("service", {"reply"})}[
            permissions.tag
        ]
        assert {name.tag for name in permissions} == {kind}
        assert set(permissions.keys()) <= rules
        assert set(permissions.attrib.values()) == {"ALLOW"}


@pytest.mark.slow
def test_policy_grants_exactly_what_the_node_uses(listener, start_node, tiny_checkpoint):
    """One node with raw images, another with compressed ones and simulated time: together they use all of it."""
    nodes = {
        "/": start_node(NODE, settings(tiny_checkpoint)),
        "/other": start_node(
            NODE,
            settings(tiny_checkpoint, image_transport="compressed", use_sim_time=True),
            remappings={"__ns": "/other"},
        ),
    }
    alternatives = {
        "/": {"/side/image_raw/compressed", "/effector/image_raw/compressed", "/clock"},
        "/other": {"/other/side/image_raw", "/other/effector/image_raw"},
    }
    for namespace, node in nodes.items():
        expected = {rule: granted(rule, namespace) for rule in ("publish", "subscribe", "reply")}
        expected["subscribe"] -= alternatives[namespace]
        if not foxglove.is_available():
            expected["publish"] = {name for name in expected["publish"] if "/annotations/" not in name}

        def discovered(node=node, namespace=namespace, expected=expected) -> bool:
            assert node.process.poll() is None, f"the node ended:\n{node.output}"
            try:
                uses = used(listener.node, namespace)
            except NodeNameNonExistentError:  # not discovered yet
                return False
            return all(expected[rule] <= uses[rule] for rule in expected)

        try:
            listener.wait_for(discovered, "discovery")
        except AssertionError:
            assert used(listener.node, namespace) == expected, "the policy grants what the node does not use"
        assert used(listener.node, namespace) == expected, "the node uses what the policy does not grant"
