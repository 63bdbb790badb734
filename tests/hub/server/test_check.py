"""Is each weakness named, alone and together with others, and a sound deployment left in peace?"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from hub_config.errors import HubError
from hub_config.server.__main__ import server
from hub_config.server.accounts import Accounts
from hub_config.server.check import UNSAFE, describe, stop_if_unsafe
from hub_config.server.settings import read_settings
from tests.hub.server.deployment import Deployment

Change = Callable[[Deployment], object]


def _secret(name: str) -> Callable[[Deployment], Path]:
    return lambda d: Path(d.settings.paths.secrets) / name


def _role(d: Deployment, scopes: list[str]) -> None:
    d.c.JupyterHub.load_roles = [*d.c.JupyterHub.load_roles, {"name": "server", "scopes": scopes}]


def _other_owner(d: Deployment) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(_secret("cookie_secret")(d), 1234, 1234)


CONFIGURATION: dict[str, tuple[Change, str]] = {
    "no subdomains": (lambda d: d.c.JupyterHub.update(subdomain_host=""), "share one domain with the Hub"),
    "no https": (
        lambda d: d.c.JupyterHub.update(subdomain_host="http://course.test"),
        "is not https",
    ),
    "sqlite": (lambda d: d.c.JupyterHub.update(db_url="sqlite:///hub.sqlite"), "is not PostgreSQL"),
    "no database": (lambda d: d.c.JupyterHub.pop("db_url"), "is not PostgreSQL"),
    "password in the url": (
        lambda d: d.c.JupyterHub.update(db_url="postgresql://hub:geheim@db/hub"),
        "holds a password",
    ),
    "dummy": (lambda d: d.c.JupyterHub.update(authenticator_class="dummy"), "lets in everybody who knows"),
    "shared password": (
        lambda d: d.c.JupyterHub.update(authenticator_class="shared-password"),
        "lets in everybody who knows",
    ),
    "allow all": (lambda d: d.c.Authenticator.update(allow_all=True), "Authenticator.allow_all is on"),
    "allow all, elsewhere": (
        lambda d: d.c.PAMAuthenticator.update(allow_all=True),
        "PAMAuthenticator.allow_all is on",
    ),
    "people of former years": (
        lambda d: d.c.Authenticator.pop("allow_existing_users"),
        "taken off the lists could still log in",
    ),
    "open sign-up": (
        lambda d: d.c.NativeAuthenticator.update(open_signup=True),
        "NativeAuthenticator.open_signup is on",
    ),
    "administrators": (
        lambda d: d.c.Authenticator.update(admin_users={"ines"}),
        "Hub administrators are set",
    ),
    "nobody listed": (lambda d: d.c.Authenticator.update(allowed_users=set()), "nobody is listed"),
    "inherit in the role server": (lambda d: _role(d, ["inherit"]), "the role server"),
    "inherit, filtered": (lambda d: _role(d, ["inherit!server"]), "the scope inherit hands on"),
    "inherit in another role": (
        lambda d: d.c.JupyterHub.load_roles[0]["scopes"].append("inherit"),
        "the role course-staff",
    ),
    "inherit for servers": (
        lambda d: d.c.Spawner.update(server_token_scopes=["inherit"]),
        "Spawner.server_token_scopes",
    ),
    "inherit for logins at servers": (
        lambda d: d.c.SystemdSpawner.update(oauth_client_allowed_scopes=["inherit"]),
        "SystemdSpawner.oauth_client_allowed_scopes",
    ),
    "scopes by function": (
        lambda d: d.c.Spawner.update(server_token_scopes=lambda spawner: ["inherit"]),
        "is a function, which cannot be examined",
    ),
    "inherit for a service": (
        lambda d: d.c.JupyterHub.services[0].update(oauth_client_allowed_scopes=["inherit"]),
        "services, course",
    ),
    "service as administrator": (
        lambda d: d.c.JupyterHub.services[0].update(admin=True),
        "the service course is an administrator",
    ),
    "hub for all": (
        lambda d: d.c.JupyterHub.update(hub_bind_url="http://0.0.0.0:8081"),
        "the Hub's API could be reached",
    ),
    "hub_ip of the network": (
        lambda d: d.c.JupyterHub.update(hub_ip="10.0.0.7"),
        "the Hub's API could be reached",
    ),
    "proxy for all": (
        lambda d: d.c.JupyterHub.update(bind_url="http://:8000"),
        "the proxy could be reached",
    ),
    "proxy API for all": (
        lambda d: d.c.ConfigurableHTTPProxy.update(api_url="http://[::]:8001"),
        "the proxy's API could be reached",
    ),
    "servers for all": (lambda d: d.c.Spawner.update(ip="0.0.0.0"), "a user's server could be reached"),
}

FILES: dict[str, tuple[Change, str]] = {
    "settings writable": (lambda d: d.file.chmod(0o666), "could change the Hub's settings"),
    "folder of settings writable": (lambda d: d.file.parent.chmod(0o777), "could change the Hub's settings"),
    "secret missing": (lambda d: _secret("crypt_key")(d).unlink(), "the secret crypt_key is missing"),
    "secret short": (lambda d: _secret("cookie_secret")(d).write_text("abc"), "cookie_secret is too short"),
    "secret not hexadecimal": (
        lambda d: _secret("cookie_secret")(d).write_text("z" * 64),
        "cookie_secret is too short or not",
    ),
    "secret readable": (
        lambda d: _secret("proxy_auth_token")(d).chmod(0o640),
        "others can read the secret proxy_auth_token",
    ),
    "secret of another": (_other_owner, "the secret cookie_secret belongs to another account"),
    "secrets' folder open": (
        lambda d: Path(d.settings.paths.secrets).chmod(0o711),
        "others can enter the folder of the secrets",
    ),
    "no secrets": (lambda d: shutil.rmtree(d.settings.paths.secrets), "the Hub's secrets are missing"),
    "checkout readable": (
        lambda d: d.root.chmod(0o755),
        "the checkout that the Hub runs from can be entered",
    ),
    "course's home open": (lambda d: Path(d.settings.course.home).chmod(0o750), "the course's home"),
    "course's checkout open": (
        lambda d: d.settings.course.checkout.chmod(0o755),
        "the course's checkout can",
    ),
    "instance open": (
        lambda d: d.settings.course.instance.chmod(0o755),
        "the instance, with every grade can",
    ),
    "instance missing": (
        lambda d: d.settings.course.instance.rmdir(),
        "the instance, with every grade is missing",
    ),
    "exchange open": (
        lambda d: Path(d.settings.course.exchange).chmod(0o777),
        "in the place of a published lab",
    ),
    "hand-ins open": (
        lambda d: Path(d.settings.handin.folder).chmod(0o755),
        "everybody's hand-ins can be entered",
    ),
    "exchange missing": (lambda d: Path(d.settings.course.exchange).rmdir(), "the exchange is missing"),
    "umask": (lambda d: setattr(d, "umask", 0o002), "files that the Hub writes could be changed"),
}

ACCOUNTS: dict[str, tuple[Change, str]] = {
    "no instructor": (lambda d: d.replace("people", instructors=[]), "no instructor is listed"),
    "student as staff": (
        lambda d: d.replace("people", students=["ada", "bob", "tom"]),
        "tom is a student and staff",
    ),
    "course account is root": (
        lambda d: d.accounts.put("coursework", "/root", 0, "/usr/sbin/nologin"),
        "the account coursework of a service of the course is root",
    ),
    "course account is a person": (
        lambda d: d.replace("course", account="ada"),
        "the course's account ada is also a person's",
    ),
    "course account missing": (
        lambda d: d.accounts.entries.pop("coursework"),
        "the course's account coursework does not exist",
    ),
    "course account with a password": (
        lambda d: d.accounts.with_password.add("coursework"),
        "log in to the course's account coursework with a password",
    ),
    "course account with a shell": (
        lambda d: d.accounts.put("coursework", "/srv", 990),
        "coursework has a login shell",
    ),
    "person without account": (lambda d: d.accounts.entries.pop("bob"), "bob has no account on this machine"),
    "system account as a person": (
        lambda d: d.accounts.put("bob", str(d.folder / "homes" / "bob"), 33),
        "bob is an account of the system",
    ),
    "home readable": (lambda d: (d.folder / "homes" / "ada").chmod(0o755), "look into the home of ada"),
    "home elsewhere": (lambda d: d.accounts.put("ada", "/elsewhere", 1000), "the home of ada is elsewhere"),
    "home missing": (lambda d: (d.folder / "homes" / "ada").rmdir(), "the home of ada is missing"),
}
EVERY = CONFIGURATION | FILES | ACCOUNTS
TOGETHER = sorted(
    set(EVERY)
    # these hide another one: what is missing has no mode
    - {"no secrets", "secret missing", "secret of another", "instance missing", "exchange missing"}
    - {"home missing", "home elsewhere", "course account missing", "course account is a person"}
    - {"course account with a shell", "no database", "secret short", "person without account"}
    # these replace the configuration that others changed
    - {"no instructor", "student as staff"}
    # these set what another one sets too
    - {"no subdomains", "password in the url", "shared password"}
)


def test_sound_deployment_passes(deployment: Deployment) -> None:
    assert deployment.weaknesses() == []


@pytest.mark.parametrize("authenticator", ["pam", "native"])
def test_both_authenticators_pass(deployment: Deployment, authenticator: str) -> None:
    text = deployment.file.read_text().replace('authenticator = "pam"', f'authenticator = "{authenticator}"')
    deployment.file.write_text(text)
    deployment.settings = read_settings(deployment.file)
    deployment.refill()
    assert deployment.weaknesses() == []


@pytest.mark.parametrize("name", EVERY)
def test_weakness_alone_is_named_with_place_and_remedy(deployment: Deployment, name: str) -> None:
    change, says = EVERY[name]
    change(deployment)
    found = deployment.weaknesses()
    assert any(says in str(one) for one in found), describe(found)
    assert all(one.where and one.remedy for one in found)
    told = [one for one in found if says in str(one)]
    assert len(told) == 1, "one weakness is told more than once"


@given(chosen=st.sets(st.sampled_from(TOGETHER), min_size=2))
@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_weaknesses_together_are_all_named(chosen: set[str]) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        deployment = Deployment(folder)
        for name in sorted(chosen):
            EVERY[name][0](deployment)
        found = "\n".join(map(str, deployment.weaknesses()))
        missing = [name for name in chosen if EVERY[name][1] not in found]
        assert not missing
    finally:
        shutil.rmtree(folder)


def test_start_ends_with_the_whole_list(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    """Real accounts and this machine's umask: the list has more than one entry, each with its number."""
    (Path(deployment.settings.paths.secrets) / "crypt_key").unlink()
    with pytest.raises(SystemExit) as ended:
        stop_if_unsafe(lambda: deployment.settings, lambda _: None, deployment.c)
    assert ended.value.code == UNSAFE
    text = capsys.readouterr().err
    assert "The Hub is not started" in text
    assert "the secret crypt_key is missing" in text
    assert "coursework does not exist" in text or "coursework" in text
    assert "\n1. " in text
    assert "\n2. " in text


def test_settings_that_cannot_be_read_end_the_start(capsys: pytest.CaptureFixture[str]) -> None:
    def read() -> object:
        raise HubError("hub.toml: domain is missing")

    with pytest.raises(SystemExit) as ended:
        stop_if_unsafe(read, lambda _: None, None)  # type: ignore[arg-type]
    assert ended.value.code == UNSAFE
    assert capsys.readouterr().err == "The Hub is not started: hub.toml: domain is missing\n"


def test_command_names_weaknesses(deployment: Deployment) -> None:
    done = CliRunner().invoke(server, ["check"], env={"COURSE_HUB_SETTINGS": str(deployment.file)})
    assert done.exit_code == UNSAFE
    assert "things to put right first" in done.output


@pytest.mark.parametrize(
    ("line", "opens"),
    [
        ("course:!:1::", False),
        ("course:*:1::", False),
        ("course:!!:1::", False),
        ("course::1::", True),
        ("course:$y$abc:1::", True),
        ("coursework2:$y$abc:1::", False),
    ],
)
def test_password_is_read_from_shadow(tmp_path: Path, line: str, opens: bool) -> None:
    accounts = Accounts()
    accounts.shadow = tmp_path / "shadow"
    accounts.shadow.write_text(f"root:*:1::\n{line}\n")
    assert accounts.has_password("course") is opens
