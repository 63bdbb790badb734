"""hub_config/docker as far as it can be checked without Docker: its files fit together, and what they start starts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from traitlets.config import Config

from autograder.course import COURSE_ID, ROOT, load_course
from tests.handin.running import RunningService, StandInHub

FOLDER = ROOT / "hub_config" / "docker"
SECRETS = {"course_token": "c" * 64, "handin_token": "h" * 64}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """compose.yaml, with its two settings filled in."""
    text = (FOLDER / "compose.yaml").read_text("utf-8")
    text = re.sub(r"\$\{COURSE_DOMAIN[^}]*\}", "course.example.edu", text)
    found: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{DOCKER_GROUP[^}]*\}", "999", text))
    return found


@pytest.fixture
def settings(tmp_path: Path, compose: dict[str, Any]) -> dict[str, str]:
    """The environment in which the Hub's configuration is read, with secrets and people in a folder."""
    for name, value in SECRETS.items():
        (tmp_path / name).write_text(value + "\n")
    (tmp_path / "people.toml").write_text('instructors = ["ines"]\nstudents = ["ada", "bob"]\n')
    return {
        **compose["services"]["hub"]["environment"],
        "COURSE_CODE": str(ROOT),
        "COURSE_HUB_DATA": str(tmp_path),
        "COURSE_SECRETS": str(tmp_path),
        "COURSE_PEOPLE": str(tmp_path / "people.toml"),
    }


@pytest.fixture
def configuration(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Config:
    """What jupyterhub_config.py sets."""
    return configured(settings, monkeypatch)


def configured(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Config:
    """What jupyterhub_config.py sets in this environment."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    config = Config()
    code = compile((FOLDER / "jupyterhub_config.py").read_text("utf-8"), "jupyterhub_config.py", "exec")
    exec(code, {"get_config": lambda: config, "__name__": "config"})
    return config


def test_jupyterhub_takes_the_configuration(settings: dict[str, str], tmp_path: Path) -> None:
    """An option that JupyterHub does not know is a warning there, and an error here."""
    done = subprocess.run(
        [sys.executable, "-m", "jupyterhub", "--config", str(FOLDER / "jupyterhub_config.py"), "--show-config"],
        env={**os.environ, **settings}, cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0 and "not recognized" not in done.stderr, done.stderr
    assert "dockerspawner.DockerSpawner" in done.stdout


def test_a_students_container_has_no_rights_and_limits(configuration: Config) -> None:
    from dockerspawner import DockerSpawner

    container, spawner = configuration.DockerSpawner, configuration.Spawner
    assert set(container) <= set(DockerSpawner.class_trait_names()) and set(spawner) <= set(
        DockerSpawner.class_trait_names()
    )
    assert container.extra_host_config["cap_drop"] == ["ALL"]
    assert spawner.mem_limit == "4G" and container.extra_host_config["memswap_limit"] == "4g"
    assert spawner.env_keep == [] and "HANDIN_URL" in spawner.environment
    assert container.read_only_volumes == {"course_published": "/exchange"}
    assert "docker.sock" not in json.dumps([container.volumes, container.extra_host_config])


def test_roles_are_those_of_every_deployment(configuration: Config) -> None:
    roles = {role["name"]: role for role in configuration.JupyterHub.load_roles}
    assert "access:services!service=handin" in roles["server"]["scopes"]
    assert all("inherit" not in role["scopes"] for role in roles.values())
    assert configuration.JupyterHub.load_groups["students"] == {"users": ["ada", "bob"]}


LTI = """[lti]
issuer = "https://canvas.instructure.com"
client_ids = ["10000000000042"]
authorize_url = "https://sso.canvaslms.com/api/lti/authorize_redirect"
jwks_url = "https://sso.canvaslms.com/api/lti/security/jwks"
username = "email"
mail_domain = "example.edu"
"""


def test_people_sign_up_where_no_platform_is_named(configuration: Config) -> None:
    assert configuration.JupyterHub.authenticator_class == "native"
    assert "PlatformLogin" not in configuration


def test_people_come_from_the_platform_of_people_toml(
    settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    people = Path(settings["COURSE_PEOPLE"])
    people.write_text(people.read_text() + LTI)
    config = configured(settings, monkeypatch)
    assert config.JupyterHub.authenticator_class == "hub_config.lti_login.PlatformLogin"
    assert config.PlatformLogin.address == "https://course.example.edu"
    assert config.Authenticator.allowed_users == {"ines", "ada", "bob"}
    test_jupyterhub_takes_the_configuration(settings, people.parent)


def test_services_of_the_hub_are_those_of_compose(configuration: Config, compose: dict[str, Any]) -> None:
    for service in configuration.JupyterHub.services:
        if "url" not in service:
            continue
        name = service["name"]
        environment = compose["services"][name]["environment"]
        assert environment["JUPYTERHUB_SERVICE_NAME"] == name
        assert environment["JUPYTERHUB_SERVICE_PREFIX"] == f"/services/{name}/"
        assert environment["JUPYTERHUB_CLIENT_ID"] == f"service-{name}"
        assert service["url"].rpartition(":")[2] == environment["JUPYTERHUB_SERVICE_URL"].rpartition(":")[2]
        assert f"access:services!service={name}" in json.loads(environment["JUPYTERHUB_OAUTH_ACCESS_SCOPES"])
        assert service["api_token"] == SECRETS[f"{name}_token"]


def test_names_in_compose_are_there(compose: dict[str, Any]) -> None:
    stages = re.findall(r"^FROM \S+ AS (\S+)$", (FOLDER / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    for name, service in compose["services"].items():
        assert service["build"]["target"] in stages, name
        assert set(service["secrets"]) <= set(compose["secrets"])
        named = [volume.split(":")[0] for volume in service["volumes"] if not volume.startswith((".", "/"))]
        assert set(named) <= set(compose["volumes"])
    spawned = compose["services"]["hub"]["environment"]
    assert spawned["COURSE_NETWORK"] == f"{compose['name']}_course" and "course" in compose["networks"]
    assert spawned["COURSE_PUBLISHED_VOLUME"] == f"{compose['name']}_published"
    with_socket = [
        name
        for name, one in compose["services"].items()
        if any("docker.sock" in volume for volume in one["volumes"])
    ]
    assert with_socket == ["hub"]


def test_files_that_images_copy_exist() -> None:
    text = (FOLDER / "Dockerfile").read_text("utf-8")
    for line in re.findall(r"^COPY (.*)$", text, re.MULTILINE):
        for name in line.split()[:-1]:
            assert (ROOT / name).exists(), name
    student = text.split("FROM student AS course")[0]
    for secret in ("autograder", "reference_impl", "heldout", "source", "COPY . "):
        assert secret not in student.split("FROM python:3.11-slim-bookworm AS student")[1], secret


def test_versions_are_those_of_the_locks() -> None:
    pins = dict(
        line.split("==")
        for file in (ROOT / "requirements").glob("*.lock")
        for line in file.read_text("utf-8").splitlines()
        if "==" in line
    )
    found = dict(line.split("==") for line in (FOLDER / "hub.txt").read_text("utf-8").splitlines())
    assert found == {name: pins[name] for name in found} and "dockerspawner" in found


def test_nothing_secret_gets_into_an_image() -> None:
    ignored = (FOLDER / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    assert {".git", ".venv-staff", "build", "hub_config/docker/secrets", "hub_config/docker/.env"} <= set(
        ignored
    )


@pytest.fixture
def hub() -> Iterator[StandInHub]:
    """A Hub that knows a few tokens."""
    running = StandInHub()
    yield running
    running.stop()


def test_the_hand_in_service_runs_with_composes_environment(
    compose: dict[str, Any], hub: StandInHub, tmp_path: Path
) -> None:
    """Only addresses and folders are this machine's."""
    environment = dict(compose["services"]["handin"]["environment"])
    assert environment["HANDIN_TIME_ZONE"] == load_course().time_zone.key
    assert environment["HANDIN_PUBLISHED"] == f"/exchange/{COURSE_ID}/outbound"
    here = {"HANDIN_FOLDER", "HANDIN_PUBLISHED", "JUPYTERHUB_API_URL", "JUPYTERHUB_SERVICE_URL"}
    service = RunningService(
        tmp_path, hub, **{name: value for name, value in environment.items() if name not in here}
    )
    try:
        service.takes_hand_ins("https://course.example.edu/hub/api/oauth2/authorize")
    finally:
        service.stop()
