"""hub_config/kubernetes/grading.yaml as far as it can be checked without a cluster: its parts fit together."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner
from distributed.cli import dask_scheduler, dask_worker

from tests.kubernetes.files import container as container_of
from tests.kubernetes.files import documents, environment, pod

FILES = {
    "--tls-ca-file": "/certificates/ca.pem",
    "--tls-cert": "/certificates/cert.pem",
    "--tls-key": "/certificates/key.pem",
}


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    """The one resource of the file."""
    (resource,) = documents("grading.yaml")
    assert (resource["apiVersion"], resource["kind"]) == ("kubernetes.dask.org/v1", "DaskCluster")
    return resource


def container(cluster: dict[str, Any], part: str) -> dict[str, Any]:
    """The one container of a part."""
    (found,) = cluster["spec"][part]["spec"]["containers"]
    assert found["name"] == part
    return dict(found)


@pytest.mark.parametrize("part", ["scheduler", "worker"])
def test_each_part_is_given_the_certificates(cluster: dict[str, Any], part: str) -> None:
    found = container(cluster, part)
    arguments = found["args"]
    assert {name: arguments[arguments.index(name) + 1] for name in FILES} == FILES
    (mount,) = [mount for mount in found["volumeMounts"] if mount["mountPath"] == "/certificates"]
    assert mount["readOnly"]
    pod = cluster["spec"][part]["spec"]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == mount["name"]]
    assert volume["secret"] == {"secretName": "grading-certificates", "defaultMode": 0o440}
    assert pod["securityContext"]["fsGroup"] == found["securityContext"]["runAsGroup"]
    assert found["securityContext"]["runAsNonRoot"]


@pytest.mark.parametrize("part", ["scheduler", "worker"])
def test_dask_knows_every_option(cluster: dict[str, Any], part: str) -> None:
    program, name, *arguments = container(cluster, part)["args"]
    assert (program, name) == ("/srv/course/.venv-staff/bin/dask", part)
    known = {"scheduler": dask_scheduler.main, "worker": dask_worker.main}[part]
    # the certificates are not here: click says so, after it has accepted the names of all options
    done = CliRunner().invoke(known, arguments)
    assert done.exit_code == 2 and "'/certificates/ca.pem' does not exist" in done.output


def test_the_worker_finds_the_scheduler_with_encryption(cluster: dict[str, Any]) -> None:
    variables = {item["name"]: item["value"] for item in container(cluster, "worker")["env"]}
    name = cluster["metadata"]["name"]
    assert variables["DASK_SCHEDULER_ADDRESS"] == f"tls://{name}-scheduler:8786"
    service = cluster["spec"]["scheduler"]["service"]
    assert service["selector"]["dask.org/cluster-name"] == name
    offered = {port["name"]: port["containerPort"] for port in container(cluster, "scheduler")["ports"]}
    assert {port["targetPort"]: port["port"] for port in service["ports"]} == offered
    assert offered["tcp-comm"] == 8786


def test_the_worker_may_make_namespaces_and_the_scheduler_nothing(cluster: dict[str, Any]) -> None:
    assert container(cluster, "worker")["securityContext"]["privileged"]
    scheduler = container(cluster, "scheduler")["securityContext"]
    assert scheduler["capabilities"] == {"drop": ["ALL"]} and not scheduler["allowPrivilegeEscalation"]
    assert scheduler["seccompProfile"] == {"type": "RuntimeDefault"}


def test_the_course_grades_with_the_same_certificates_and_image(cluster: dict[str, Any]) -> None:
    """`course grade --scheduler` in the course's pod needs nothing but the address."""
    own = pod("course", "grading")
    found = container_of(own, "course")
    seen = environment(found)
    assert {
        seen[f"DASK_DISTRIBUTED__COMM__TLS__{name}"] for name in ("CA_FILE", "CLIENT__CERT", "CLIENT__KEY")
    } == set(FILES.values())
    (volume,) = [one for one in own["spec"]["volumes"] if one["name"] == "certificates"]
    assert volume["secret"] == {"secretName": "grading-certificates", "defaultMode": 0o440, "optional": True}
    # a worker of another version judges nothing
    assert {found["image"]} == {container(cluster, part)["image"] for part in ("worker", "scheduler")}
