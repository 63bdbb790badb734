"""The resources beside the Hub: Kubernetes would take them, and their names, ports, secrets and images are there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import requests
import yaml
from traitlets.config import Config

from autograder.course import COURSE_ID, ROOT, load_course
from hub_config.containers import PORTS
from hub_config.kubernetes.configuration import HOSTS
from tests.handin.running import RunningService, StandInHub
from tests.kubernetes.files import (
    DOCKERFILE,
    FOLDER,
    REGISTRY,
    Document,
    applied,
    container,
    documents,
    environment,
    find,
    kustomization,
    pod,
    values,
)
from tests.kubernetes.security import violations

KUBERNETES = "1.37"
SERVICES = [("handin", "course"), ("course", "grading")]


def dask_pods() -> Iterator[Document]:
    """The pods that the operator makes of the grading cluster, as far as our file says."""
    cluster = find("DaskCluster", "grading", "grading")
    for part in ("scheduler", "worker"):
        yield {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": part},
            "spec": cluster["spec"][part]["spec"],
        }


def test_kubernetes_takes_every_resource() -> None:
    known = [one for one in applied() if one["kind"] != "DaskCluster"]
    assert len(known) > 20
    for one in [*known, *dask_pods()]:
        kubernetes_validate.validate(one, KUBERNETES, strict=True)


def test_a_wrong_resource_would_be_seen() -> None:
    wrong = json.loads(json.dumps(find("Deployment", "handin", "course")))
    wrong["spec"]["template"]["spec"]["containers"][0]["readinessprobe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


def test_kustomize_finds_its_files_and_the_database_patches_what_is_there() -> None:
    present = {path.name for path in FOLDER.glob("*.yaml")}
    assert set(kustomization()["resources"]) == present - {
        "kustomization.yaml",
        "grading.yaml",
        "values.yaml",
    }
    (component,) = documents("postgresql/kustomization.yaml")
    assert component["kind"] == "Component"
    for patch in component["patches"]:
        (one,) = documents(f"postgresql/{patch['path']}")
        own = pod(one["metadata"]["name"], one["metadata"]["namespace"])
        (patched,) = one["spec"]["template"]["spec"]["containers"]
        assert patched["name"] in {each["name"] for each in own["spec"]["containers"]}
        # a variable of this name would be replaced, not added
        assert not {each["name"] for each in patched["env"]} & set(
            environment(container(own, patched["name"]))
        )
    for name in component["resources"]:
        for one in documents(f"postgresql/{name}"):
            kubernetes_validate.validate(one, KUBERNETES, strict=True)


def test_every_resource_is_in_a_namespace_that_is_made() -> None:
    made = {one["metadata"]["name"] for one in applied() if one["kind"] == "Namespace"}
    assert made == {"course", "grading"}
    for one in applied():
        if one["kind"] not in ("Namespace", "PersistentVolume"):
            assert one["metadata"]["namespace"] in made, one["metadata"]


def test_the_namespace_of_students_lets_no_privileged_pod_in() -> None:
    (namespace,) = [
        one for one in applied() if one["kind"] == "Namespace" and one["metadata"]["name"] == "course"
    ]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert violations(pod("handin", "course")["spec"]) == []
    # the sandbox of the graders needs more, hence the other namespace
    assert "privileged" in violations(pod("course", "grading")["spec"])


@pytest.mark.parametrize(("name", "namespace"), SERVICES)
def test_the_hub_finds_the_service(name: str, namespace: str, configuration: Config) -> None:
    service = find("Service", name, namespace)
    labels = pod(name, namespace)["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    (port,) = service["spec"]["ports"]
    (offered,) = container(pod(name, namespace), name)["ports"]
    assert port["targetPort"] == offered["name"]
    assert port["port"] == offered["containerPort"] == PORTS[name]
    assert HOSTS[name] in (f"{name}.{namespace}.svc", name if namespace == "course" else "")
    declared = next(one for one in configuration.JupyterHub.services if one["name"] == name)
    assert declared["url"] == f"http://{HOSTS[name]}:{PORTS[name]}"


@pytest.mark.parametrize(("name", "namespace"), SERVICES)
def test_the_service_knows_the_hub_as_in_docker(name: str, namespace: str) -> None:
    """The two deployments tell a service the same, addresses aside."""
    compose = yaml.safe_load((ROOT / "hub_config" / "docker" / "compose.yaml").read_text("utf-8"))
    there: dict[str, str] = compose["services"][name]["environment"]
    here = environment(container(pod(name, namespace), name))
    addresses = {"JUPYTERHUB_API_URL", "HANDIN_URL", "HANDIN_FOLDER"}
    for key, value in there.items():
        if key not in addresses:
            assert here[key] == value.replace("${COURSE_DOMAIN}", "course.example.edu"), key
    own = {"COURSE_DOMAIN", "JUPYTERHUB_API_TOKEN", *(key for key in here if key.startswith("DASK_"))}
    assert set(here) - set(there) <= own
    hub = "hub" if namespace == "course" else "hub.course.svc"
    assert here["JUPYTERHUB_API_URL"] == f"http://{hub}:8081/hub/api"
    assert here["JUPYTERHUB_API_TOKEN"] == f"secret:course-tokens/{name}_token"


def test_the_course_service_finds_the_hand_in_service() -> None:
    here = environment(container(pod("course", "grading"), "course"))
    assert here["HANDIN_URL"] == f"http://handin.course.svc:{PORTS['handin']}/services/handin"


def test_secrets_are_those_that_the_readme_makes() -> None:
    text = (FOLDER / "README.md").read_text("utf-8")
    for name, namespace in SERVICES:
        assert f"-n {namespace} create secret generic course-tokens" in text
        assert f"{name}_token" in text
    first_lines = (FOLDER / "grading.yaml").read_text("utf-8")
    assert "-n grading create secret generic grading-certificates" in first_lines
    for path in ("handin", "course"):
        (one,) = documents(f"postgresql/{path}.yaml")
        (patched,) = one["spec"]["template"]["spec"]["containers"]
        for variable in patched["env"]:
            if "valueFrom" in variable:
                secret = variable["valueFrom"]["secretKeyRef"]["name"]
                assert f"-n {one['metadata']['namespace']} create secret generic {secret}" in text


def test_volumes_are_claimed_and_mounted() -> None:
    for name, namespace in SERVICES:
        spec = pod(name, namespace)["spec"]
        named = {one["name"] for one in spec["volumes"]}
        for one in [*spec.get("initContainers", []), *spec["containers"]]:
            assert {mount["name"] for mount in one["volumeMounts"]} <= named
        for volume in spec["volumes"]:
            if "persistentVolumeClaim" in volume:
                find("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"], namespace)


def test_one_folder_is_written_by_the_course_and_read_by_everybody() -> None:
    volumes: dict[str, Any] = {
        one["spec"]["claimRef"]["namespace"]: one for one in applied() if one["kind"] == "PersistentVolume"
    }
    write, read = volumes["grading"]["spec"], volumes["course"]["spec"]
    assert write["nfs"]["path"] == read["nfs"]["path"] and write["nfs"]["server"] == read["nfs"]["server"]
    assert (
        read["nfs"]["readOnly"] and read["mountOptions"] == ["ro"] and read["accessModes"] == ["ReadOnlyMany"]
    )
    for namespace, volume in volumes.items():
        claim = find("PersistentVolumeClaim", "published", namespace)["spec"]
        assert claim["volumeName"] == volume["metadata"]["name"]
        assert claim["accessModes"] == volume["spec"]["accessModes"]
        assert volume["spec"]["claimRef"]["name"] == "published"


def test_one_process_has_each_database() -> None:
    for name, namespace in SERVICES:
        spec = find("Deployment", name, namespace)["spec"]
        assert spec["replicas"] == 1 and spec["strategy"] == {"type": "Recreate"}


def test_images_are_targets_of_the_dockerfile() -> None:
    text = DOCKERFILE.read_text("utf-8")
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", text, re.MULTILINE))
    pods = [*(pod(*one) for one in SERVICES), *dask_pods()]
    images = {
        one["image"]
        for each in pods
        for kind in ("initContainers", "containers")
        for one in each["spec"].get(kind, [])
    }
    for part in ("hub", "singleuser"):
        images.add("{name}:{tag}".format(**values()[part]["image"]))
    names = {one.removeprefix(f"{REGISTRY}model-compression-").removesuffix(":1") for one in images}
    assert names == {"student", "handin", "course", "hub-kubernetes"} and names <= stages
    for name in names:
        assert f"--target {name} " in text


def test_accounts_are_those_of_the_images() -> None:
    accounts = dict(re.findall(r"useradd --uid (\d+) --create-home (\w+)", DOCKERFILE.read_text("utf-8")))
    numbers = {name: int(number) for number, name in accounts.items()}
    for each, account in ((pod("handin", "course"), "handin"), (pod("course", "grading"), "coursework")):
        context = each["spec"]["securityContext"]
        assert {context["runAsUser"], context["runAsGroup"], context["fsGroup"]} == {numbers[account]}
    for each in dask_pods():
        (one,) = each["spec"]["containers"]
        assert one["securityContext"]["runAsUser"] == numbers["coursework"]


def test_versions_are_those_of_the_locks() -> None:
    pins = dict(
        line.split("==")
        for file in (ROOT / "requirements").glob("*.lock")
        for line in file.read_text("utf-8").splitlines()
        if "==" in line
    )
    found = dict(line.split("==") for line in (FOLDER / "hub.txt").read_text("utf-8").splitlines())
    found |= dict(re.findall(r" ([\w-]+)==([\w.]+)", DOCKERFILE.read_text("utf-8")))
    assert found == {name: pins[name] for name in found}
    assert {"jupyterhub-kubespawner", "torch", "psycopg2-binary"} <= set(found)


@pytest.fixture
def hub() -> Iterator[StandInHub]:
    """A Hub that knows a few tokens."""
    running = StandInHub()
    yield running
    running.stop()


def test_the_hand_in_service_runs_with_the_manifests_environment(hub: StandInHub, tmp_path: Path) -> None:
    """Only addresses, folders and the token are this machine's; the probes ask for what it answers."""
    own = container(pod("handin", "course"), "handin")
    found = environment(own)
    assert found["HANDIN_TIME_ZONE"] == load_course().time_zone.key
    assert found["HANDIN_PUBLISHED"] == f"/exchange/{COURSE_ID}/outbound"
    assert found["HANDIN_FOLDER"].startswith("/srv/handin/")
    here = {
        "HANDIN_FOLDER",
        "HANDIN_PUBLISHED",
        "JUPYTERHUB_API_URL",
        "JUPYTERHUB_SERVICE_URL",
        "JUPYTERHUB_API_TOKEN",
    }
    service = RunningService(
        tmp_path, hub, **{name: value for name, value in found.items() if name not in here}
    )
    try:
        service.takes_hand_ins("https://course.example.edu/hub/api/oauth2/authorize")
        asked = hub.asked
        for probe in ("readinessProbe", "livenessProbe"):
            path = own[probe]["httpGet"]["path"].removeprefix("/services/handin")
            assert requests.get(f"{service.url}{path}").status_code == 200
        assert hub.asked == asked, "a probe must not depend on the Hub"
    finally:
        service.stop()
