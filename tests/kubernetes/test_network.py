"""Who may reach whom: the table is whole, and every policy and every rule of it is needed."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest

from tests.kubernetes.files import Document, applied, documents, find, pod, values
from tests.kubernetes.network import Peer, Policy, allowed

PORTS = (53, 443, 5432, 6443, 8000, 8001, 8081, 8082, 8083, 8786, 8787, 8788, 8888)
OURS = ("course", "grading")
WORKER = {"dask.org/cluster-name": "grading", "dask.org/component": "worker"}
"""Labels that the operator gives a worker."""

TABLE = {
    "ingress": {"proxy:8000"},
    "hub": {
        *("proxy:8001", "ada:8888", "bob:8888", "handin:8083", "course:8082"),
        # Kubernetes' API and a learning platform, wherever they are: it is all of 443 and 6443
        *(f"{name}:{port}" for port in (443, 6443) for name in ("internet", "api", "names", "ingress", "operator", "stranger")),
    },
    "proxy": {"hub:8081", "ada:8888", "bob:8888", "handin:8083", "course:8082"},
    "ada": {"hub:8081", "handin:8083"},
    "bob": {"hub:8081", "handin:8083"},
    "handin": {"hub:8081"},
    "puller": set(),
    "visitor": set(),
    "course": {"hub:8081", "handin:8083", "scheduler:8786"},
    "scheduler": {"worker:8788", "other worker:8788"},
    "worker": {"scheduler:8786"},
    "other worker": {"scheduler:8786"},
    "operator": {"scheduler:8787"},
}  # fmt: skip
"""Everything that may be reached; who is not here reaches nothing of ours. Names are everybody's, see below."""


def policies() -> list[Policy]:
    """All of ours."""
    return [one for one in applied() if one["kind"] == "NetworkPolicy"]


@pytest.fixture
def peers(adas_pod: Document) -> dict[str, Peer]:
    """Everybody, with the labels that the files give them."""
    return {
        "hub": Peer("course", values()["hub"]["labels"]),
        "proxy": Peer("course", values()["proxy"]["labels"]),
        "ada": Peer("course", adas_pod["metadata"]["labels"]),
        "bob": Peer("course", {**adas_pod["metadata"]["labels"], "hub.jupyter.org/username": "bob"}),
        "handin": Peer("course", pod("handin", "course")["metadata"]["labels"]),
        # the chart's, which pulls images and talks to nobody
        "puller": Peer("course", {"component": "continuous-image-puller"}),
        "course": Peer("grading", pod("course", "grading")["metadata"]["labels"]),
        "scheduler": Peer(
            "grading", find("DaskCluster", "grading", "grading")["spec"]["scheduler"]["service"]["selector"]
        ),
        "worker": Peer("grading", WORKER),
        "other worker": Peer("grading", {**WORKER, "dask.org/worker-name": "other"}),
        # an administrator's, to look around
        "visitor": Peer("grading", {"run": "visitor"}),
        "operator": Peer("dask-operator", {"app.kubernetes.io/name": "dask-kubernetes-operator"}),
        "ingress": Peer("ingress-nginx"),
        "names": Peer("kube-system", {"k8s-app": "kube-dns"}),
        # another tenant, who calls their pod what ours are called
        "stranger": Peer("default", {"course-part": "hub", **WORKER}),
        "internet": Peer(address="93.184.215.14"),
        "api": Peer(address="10.96.0.1"),
        "metadata": Peer(address="169.254.169.254"),
    }


def reached(found: list[Policy], peers: dict[str, Peer], protocol: str = "TCP") -> dict[str, set[str]]:
    """Who reaches what, where at least one end is ours."""
    table: dict[str, set[str]] = {}
    for name, source in peers.items():
        for other, target in peers.items():
            if name == other or not {source.namespace, target.namespace} & set(OURS):
                continue
            for port in PORTS:
                if allowed(found, source, target, port, protocol):
                    table.setdefault(name, set()).add(f"{other}:{port}")
    return table


def with_names(peers: dict[str, Peer]) -> dict[str, set[str]]:
    """TABLE, and the cluster's names, which every pod of ours may ask."""
    whole = {name: set(targets) for name, targets in TABLE.items()}
    for name, peer in peers.items():
        if peer.namespace in OURS:
            whole[name].add("names:53")
    return whole


def test_the_table_is_whole(peers: dict[str, Peer]) -> None:
    assert reached(policies(), peers) == with_names(peers)
    assert set(reached(policies(), peers, "UDP")) == {
        name for name, one in peers.items() if one.namespace in OURS
    }


@pytest.mark.parametrize(
    ("source", "target", "port", "expected"),
    [
        ("ada", "handin", 8083, True),
        ("ada", "hub", 8081, True),
        ("ada", "names", 53, True),
        ("ada", "bob", 8888, False),
        ("ada", "course", 8082, False),
        ("ada", "proxy", 8001, False),
        ("ada", "scheduler", 8786, False),
        ("ada", "worker", 8788, False),
        ("ada", "internet", 443, False),
        ("ada", "metadata", 80, False),
        ("ada", "api", 443, False),
        ("hub", "metadata", 443, False),
        ("worker", "scheduler", 8786, True),
        ("worker", "scheduler", 8787, False),
        ("worker", "other worker", 8788, False),
        ("worker", "handin", 8083, False),
        ("worker", "hub", 8081, False),
        ("worker", "course", 8082, False),
        ("worker", "internet", 443, False),
        ("course", "scheduler", 8787, False),
        ("course", "internet", 443, False),
        ("handin", "course", 8082, False),
        ("stranger", "hub", 8081, False),
        ("internet", "proxy", 8000, False),
        ("ingress", "hub", 8081, False),
    ],
)  # fmt: skip
def test_who_may_reach_whom(
    peers: dict[str, Peer], source: str, target: str, port: int, expected: bool
) -> None:
    """The lines of the table that a course stands or falls with, to be read."""
    assert allowed(policies(), peers[source], peers[target], port) is expected


def without_each_rule() -> Iterator[tuple[str, list[Policy]]]:
    """The policies with one of them, or one rule of one of them, taken out."""
    for index, policy in enumerate(policies()):
        where = f"{policy['metadata']['namespace']}/{policy['metadata']['name']}"
        yield where, [one for one in policies() if one is not policy]
        for side in ("ingress", "egress"):
            for number in range(len(policy["spec"].get(side, []))):
                changed = copy.deepcopy(policies())
                del changed[index]["spec"][side][number]
                yield f"{where} {side} {number}", changed


def test_no_policy_and_no_rule_could_be_left_out(peers: dict[str, Peer]) -> None:
    """The evaluation sees every change, and nothing is open or closed for no reason."""
    variants = dict(without_each_rule())
    assert len(variants) > 25
    unseen = [name for name, changed in variants.items() if reached(changed, peers) == with_names(peers)]
    assert unseen == []


def test_the_charts_own_policy_would_be_seen(peers: dict[str, Peer]) -> None:
    """With the chart's default a student's pod reaches the internet: policies add up."""
    private = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.169.254/32"]
    default = {
        "metadata": {"namespace": "course", "name": "singleuser"},
        "spec": {
            "podSelector": {"matchLabels": {"component": "singleuser-server"}},
            "policyTypes": ["Egress"],
            "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": private}}]}],
        },
    }
    assert "internet:443" in reached([*policies(), default], peers)["ada"]


def test_a_database_opens_its_port_to_three(peers: dict[str, Peer]) -> None:
    more = {**peers, "database": Peer("database")}
    opened = reached([*policies(), *documents("postgresql/network.yaml")], more)
    whole = with_names(peers)
    for name in ("hub", "handin", "course"):
        whole[name].add("database:5432")
    whole["hub"] |= {"database:443", "database:6443"}
    assert opened == whole


def test_ports_are_those_of_the_files() -> None:
    """8788 is where workers listen because they are told to."""
    cluster = find("DaskCluster", "grading", "grading")["spec"]
    arguments = cluster["worker"]["spec"]["containers"][0]["args"]
    assert arguments[arguments.index("--worker-port") + 1] == "8788"
    assert {one["port"] for one in cluster["scheduler"]["service"]["ports"]} == {8786, 8787}
