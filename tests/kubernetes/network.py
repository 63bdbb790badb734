"""NetworkPolicies evaluated as Kubernetes documents them: who may open a connection to whom, on which port.

https://kubernetes.io/docs/concepts/services-networking/network-policies/ . A connection needs leave at both ends. An
end that no policy selects for a direction is open in it; one that is selected has the sum of all policies' rules.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

Policy = dict[str, Any]


@dataclass(frozen=True)
class Peer:
    """One end. Without a namespace it is a machine outside the cluster, which has an address alone."""

    namespace: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    address: str = "10.0.0.1"


def allowed(policies: list[Policy], source: Peer, target: Peer, port: int, protocol: str = "TCP") -> bool:
    """Whether `source` may open a connection to this port of `target`."""
    return _passes(policies, source, target, "egress", "to", port, protocol) and _passes(
        policies, target, source, "ingress", "from", port, protocol
    )


def _passes(
    policies: list[Policy], own: Peer, other: Peer, direction: str, side: str, port: int, protocol: str
) -> bool:
    if not own.namespace:
        return True
    chosen = [
        one
        for one in policies
        if one["metadata"]["namespace"] == own.namespace
        and direction.capitalize() in one["spec"]["policyTypes"]
        and selects(one["spec"]["podSelector"], own.labels)
    ]
    if not chosen:
        return True
    return any(
        _port_fits(rule.get("ports"), port, protocol) and _peer_fits(rule.get(side), other, own.namespace)
        for one in chosen
        for rule in one["spec"].get(direction, [])
    )


def _port_fits(ports: list[dict[str, Any]] | None, port: int, protocol: str) -> bool:
    if not ports:
        return True
    for one in ports:
        assert set(one) <= {"port", "protocol"} and isinstance(one["port"], int), "not evaluated here"
    return any(one["port"] == port and one.get("protocol", "TCP") == protocol for one in ports)


def _peer_fits(peers: list[dict[str, Any]] | None, other: Peer, namespace: str) -> bool:
    if not peers:
        return True
    return any(_one_fits(peer, other, namespace) for peer in peers)


def _one_fits(peer: dict[str, Any], other: Peer, namespace: str) -> bool:
    assert set(peer) <= {"podSelector", "namespaceSelector", "ipBlock"}, "not evaluated here"
    if "ipBlock" in peer:
        block = peer["ipBlock"]
        address = ip_address(other.address)
        return address in ip_network(block["cidr"]) and not any(
            address in ip_network(one) for one in block.get("except", [])
        )
    if not other.namespace:
        return False
    if "namespaceSelector" in peer:
        # Kubernetes gives each namespace its own name as a label
        if not selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": other.namespace}):
            return False
    elif other.namespace != namespace:
        return False
    return selects(peer.get("podSelector", {}), other.labels)


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a label selector selects something with these labels; an empty one selects everything."""
    assert set(selector) <= {"matchLabels", "matchExpressions"}, "not evaluated here"
    for one in selector.get("matchExpressions", []):
        assert one["operator"] == "In", "not evaluated here"
        if labels.get(one["key"]) not in one["values"]:
            return False
    return all(labels.get(name) == value for name, value in selector.get("matchLabels", {}).items())
