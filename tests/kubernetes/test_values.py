"""values.yaml: only options that the chart has, and what it must say for the rest to hold."""

from __future__ import annotations

import re

import jsonschema
import pytest

from tests.kubernetes.chart import VERSION, schema
from tests.kubernetes.files import DOCKERFILE, FOLDER, REGISTRY, container, pod, values
from tests.kubernetes.security import violations


def test_the_chart_has_every_option() -> None:
    jsonschema.validate(values(), schema())
    assert f"chart {VERSION}" in (FOLDER / "values.yaml").read_text("utf-8")


@pytest.mark.parametrize(
    "wrong",
    [
        {"singleuser": {"networkPolicy": {"enable": False}}},
        {"ingress": {"enabled": "yes"}},
        {"hub": {"extraConfigs": {}}},
        {"culler": {}},
    ],
    ids=["a letter missing", "another kind", "a plural", "another name"],
)
def test_an_option_that_it_has_not_is_seen(wrong: dict[str, object]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema())


def test_the_charts_own_policies_and_helpers_are_off() -> None:
    """Policies add up, and the chart's let a student's pod into the internet; its helpers need Kubernetes' API."""
    found = values()
    for part in (found["hub"], found["proxy"]["chp"], found["singleuser"]):
        assert part["networkPolicy"] == {"enabled": False}
    assert found["singleuser"]["cloudMetadata"] == {"blockWithIptables": False}
    assert found["cull"] == {"enabled": False}
    assert found["scheduling"]["userScheduler"] == {"enabled": False}
    assert found["prePuller"]["hook"] == {"enabled": False}


def test_hub_and_proxy_are_let_into_their_namespace() -> None:
    hub, proxy = values()["hub"], values()["proxy"]["chp"]
    for whole, one in (
        (hub["podSecurityContext"], hub["containerSecurityContext"]),
        ({}, proxy["containerSecurityContext"]),
    ):
        assert violations({"securityContext": whole, "containers": [{"securityContext": one}]}) == []


def test_the_hub_runs_as_the_account_of_its_image() -> None:
    number = int(re.findall(r"useradd --uid (\d+) --create-home hub", DOCKERFILE.read_text("utf-8"))[0])
    hub = values()["hub"]
    assert hub["containerSecurityContext"]["runAsUser"] == hub["podSecurityContext"]["fsGroup"] == number


def test_uploads_are_passed_on_as_they_come_and_are_not_cut() -> None:
    """100 MiB are the limit of a hand-in: docs/handin.md."""
    said = {name.rpartition("/")[2]: text for name, text in values()["ingress"]["annotations"].items()}
    assert said["proxy-request-buffering"] == "off"
    assert int(said["proxy-body-size"].removesuffix("m")) > 100
    assert int(said["proxy-read-timeout"]) > 30


def test_one_name_is_everywhere() -> None:
    domain = values()["custom"]["domain"]
    ingress = values()["ingress"]
    assert ingress["hosts"] == [domain, f"*.{domain}"]
    assert [one["hosts"] for one in ingress["tls"]] == [ingress["hosts"]]
    for name, namespace in (("handin", "course"), ("course", "grading")):
        (said,) = [
            one for one in container(pod(name, namespace), name)["env"] if one["name"] == "COURSE_DOMAIN"
        ]
        assert said["value"] == domain


def test_the_hub_reads_the_secret_that_is_mounted() -> None:
    hub = values()["hub"]
    (volume,), (mount,) = hub["extraVolumes"], hub["extraVolumeMounts"]
    assert volume["name"] == mount["name"] and volume["secret"]["secretName"] == "course-tokens"
    assert mount == {"name": "course-tokens", "mountPath": "/run/course-tokens", "readOnly": True}
    assert volume["secret"]["defaultMode"] == 0o440


def test_students_have_the_students_image() -> None:
    assert values()["singleuser"]["image"]["name"] == f"{REGISTRY}model-compression-student"
    assert values()["singleuser"]["storage"]["homeMountPath"] == "/home/student"
