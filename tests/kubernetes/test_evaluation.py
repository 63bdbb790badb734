"""Does tests.kubernetes.network evaluate policies as Kubernetes documents them?"""

from __future__ import annotations

from typing import Any

import pytest

from tests.kubernetes.network import Peer, allowed

ONE, TWO = Peer("here", {"app": "one"}), Peer("here", {"app": "two"})
AWAY = Peer("away", {"app": "one"})
OUTSIDE = Peer(address="192.0.2.7")


def ingress(*rules: dict[str, Any]) -> list[dict[str, Any]]:
    """One policy for the pod `two`."""
    selector = {"matchLabels": {"app": "two"}}
    return [
        {
            "metadata": {"namespace": "here"},
            "spec": {"podSelector": selector, "policyTypes": ["Ingress"], "ingress": list(rules)},
        }
    ]


def peer(**selectors: Any) -> dict[str, Any]:
    """A rule for one peer."""
    return {"from": [selectors]}


APP = {"matchLabels": {"app": "one"}}
NAMESPACE = {"matchLabels": {"kubernetes.io/metadata.name": "away"}}


@pytest.mark.parametrize(
    ("rules", "source", "expected"),
    [
        ([], ONE, False),
        ([{}], OUTSIDE, True),
        ([peer(podSelector={})], ONE, True),
        ([peer(podSelector={})], AWAY, False),
        ([peer(podSelector=APP)], ONE, True),
        ([peer(podSelector=APP)], AWAY, False),
        ([peer(namespaceSelector={})], AWAY, True),
        ([peer(namespaceSelector={})], OUTSIDE, False),
        ([peer(namespaceSelector=NAMESPACE, podSelector=APP)], AWAY, True),
        ([peer(namespaceSelector=NAMESPACE, podSelector=APP)], ONE, False),
        ([{"from": [{"namespaceSelector": NAMESPACE}, {"podSelector": APP}]}], ONE, True),
        ([peer(ipBlock={"cidr": "192.0.2.0/24"})], OUTSIDE, True),
        ([peer(ipBlock={"cidr": "192.0.2.0/24", "except": ["192.0.2.7/32"]})], OUTSIDE, False),
        ([{"ports": [{"port": 81, "protocol": "TCP"}]}], ONE, False),
        ([{"ports": [{"port": 80, "protocol": "UDP"}]}], ONE, False),
        ([{"ports": [{"port": 80}]}], ONE, True),
    ],
)  # fmt: skip
def test_a_rule(rules: list[dict[str, Any]], source: Peer, expected: bool) -> None:
    assert allowed(ingress(*rules), source, TWO, 80) is expected


def test_who_is_not_selected_is_open_and_both_ends_count() -> None:
    assert allowed(ingress(), TWO, ONE, 80)
    closed = {"metadata": {"namespace": "here"}, "spec": {"podSelector": {}, "policyTypes": ["Egress"]}}
    assert not allowed([closed], TWO, ONE, 80)
    assert allowed([closed], AWAY, ONE, 80)


def test_what_is_not_evaluated_is_no_silent_pass() -> None:
    with pytest.raises(AssertionError, match="not evaluated"):
        allowed(ingress({"ports": [{"port": "http"}]}), ONE, TWO, 80)
