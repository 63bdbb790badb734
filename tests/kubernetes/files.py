"""What lies in hub_config/kubernetes, read once."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml

from autograder.course import ROOT

FOLDER = ROOT / "hub_config" / "kubernetes"
DOCKERFILE = ROOT / "hub_config" / "docker" / "Dockerfile"
REGISTRY = "registry.example.org/"

Document = dict[str, Any]


def documents(name: str) -> list[Document]:
    """All documents of one file."""
    return list(yaml.safe_load_all((FOLDER / name).read_text("utf-8")))


@cache
def kustomization() -> Document:
    """What `kubectl apply -k` reads first."""
    (found,) = documents("kustomization.yaml")
    return found


@cache
def applied() -> tuple[Document, ...]:
    """Every resource that `kubectl apply -k` makes, and the grading cluster."""
    return tuple(one for name in [*kustomization()["resources"], "grading.yaml"] for one in documents(name))


@cache
def values() -> Document:
    """What Zero to JupyterHub is told."""
    (found,) = documents("values.yaml")
    return found


def find(kind: str, name: str, namespace: str) -> Document:
    """The one resource of this name."""
    (found,) = [
        one
        for one in applied()
        if (one["kind"], one["metadata"]["name"], one["metadata"].get("namespace")) == (kind, name, namespace)
    ]
    return found


def pod(name: str, namespace: str) -> Document:
    """The pod of a deployment, as Kubernetes would make it."""
    template = find("Deployment", name, namespace)["spec"]["template"]
    return {"apiVersion": "v1", "kind": "Pod", **template}


def container(pod_or_spec: Document, name: str) -> Document:
    """One container of a pod."""
    (found,) = [one for one in pod_or_spec["spec"]["containers"] if one["name"] == name]
    return dict(found)


def environment(found: Document) -> dict[str, str]:
    """A container's variables as it sees them; one from a Secret is `secret:NAME/KEY`."""
    seen: dict[str, str] = {}
    for one in found["env"]:
        if "value" in one:
            value = one["value"]
            for name, known in seen.items():
                value = value.replace(f"$({name})", known)
        else:
            reference = one["valueFrom"]["secretKeyRef"]
            value = f"secret:{reference['name']}/{reference['key']}"
        seen[one["name"]] = value
    return seen
