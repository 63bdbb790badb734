"""What every deployment's Hub has in common: groups, roles, the course service, the culler, user servers.

Scopes follow from what each does and no more.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autograder.course import load_course, outbound
from autograder.service.permissions import ASSISTANTS, INSTRUCTORS, STUDENTS
from hub_config.site import HANDIN, Site

HAND_IN = f"access:services!service={HANDIN}"
SERVICE = "course"
"""Name of the course service: it is served below /services/course/."""
IDLE_SECONDS = 3600
"""A server without activity for this long is stopped."""
MEMORY = "4G"
"""Memory of one user's server with its kernels."""
TEMPLATES = Path(__file__).parent / "templates"
"""Pages that stand in place of JupyterHub's own."""


def configure(c: Any, site: Site, idle_seconds: int = IDLE_SECONDS) -> None:
    """Declare people, services and servers of `site` in the Hub's configuration `c`."""
    declare_people(c, site.instructors, site.assistants, site.students)
    use_templates(c)
    _services(c, site, idle_seconds)
    _servers(c, site)


def use_templates(c: Any) -> None:
    """What people read when a service or a server does not answer."""
    c.JupyterHub.template_paths = [str(TEMPLATES)]


def declare_people(c: Any, instructors: list[str], assistants: list[str], students: list[str]) -> None:
    """Groups, and what the members of each may do; the same in every deployment."""
    c.Authenticator.allowed_users = {*instructors, *assistants, *students}
    # JupyterHub's default lets in whoever was listed once
    c.Authenticator.allow_existing_users = False
    c.JupyterHub.load_groups = {
        INSTRUCTORS: {"users": instructors},
        ASSISTANTS: {"users": assistants},
        STUDENTS: {"users": students},
    }
    c.JupyterHub.load_roles = [
        {
            "name": "course-staff",
            "description": "grade in the course service",
            "groups": [INSTRUCTORS, ASSISTANTS],
            "scopes": [
                f"access:services!service={SERVICE}",
                f"read:services!service={SERVICE}",
                "list:services",
            ],
        },
        {
            "name": "class-administration",
            "description": "see who is there, start and stop servers, without entering them",
            "groups": [INSTRUCTORS],
            "scopes": ["admin-ui", "list:users", "read:users:activity", "servers"],
        },
        {
            # JupyterHub's own role of users' servers, with handing in; it never holds `inherit`
            "name": "server",
            "description": "report activity, let its own user in, hand in for them",
            "scopes": ["users:activity!user", "access:servers!server", HAND_IN],
        },
        {
            "name": "handing-in",
            "description": "hand in and read one's own hand-ins",
            "groups": [STUDENTS, ASSISTANTS, INSTRUCTORS],
            "services": [SERVICE],
            "scopes": [HAND_IN],
        },
        {
            "name": "idle-culler",
            "services": ["idle-culler"],
            "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
        },
    ]
    c.JupyterHub.default_url = first_page(f"/services/{SERVICE}/")


def first_page(course: str) -> Callable[[Any], str]:
    """Staff begin in the course service, which is at the address `course`, students in their own server."""

    def choose(handler: Any) -> str:
        user = handler.current_user
        groups = {group.name for group in user.groups} if user else set()
        return course if groups & {INSTRUCTORS, ASSISTANTS} else ""

    return choose


def _services(c: Any, site: Site, idle_seconds: int) -> None:
    account = {"user": site.course_account} if site.course_account else {}
    handin_account = {"user": site.handin_account} if site.handin_account else {}
    c.JupyterHub.services = [
        {
            "name": SERVICE,
            "url": f"http://127.0.0.1:{site.service_port}",
            "command": [f"{site.staff_environment}/bin/python", "-m", "autograder.service"],
            "cwd": site.instance,
            "environment": service_environment(site),
            "oauth_no_confirm": True,
            "display": True,
            **account,
        },
        {
            "name": HANDIN,
            "url": f"http://127.0.0.1:{site.handin_port}",
            "command": [f"{site.students_environment}/bin/python", "-m", "handin.service"],
            "cwd": site.handin,
            "environment": handin_environment(site),
            "oauth_no_confirm": True,
            "display": True,
            **handin_account,
        },
        {
            "name": "idle-culler",
            "command": [
                f"{site.staff_environment}/bin/python",
                "-m",
                "jupyterhub_idle_culler",
                f"--timeout={idle_seconds}",
            ],
            "cwd": site.checkout,
            "display": False,
            **account,
        },
    ]


def service_environment(site: Site) -> dict[str, str]:
    """Environment of the course service. Its Lab is the students' one with jupytext of the staff's."""
    students, staff = site.students_environment, site.staff_environment
    return {
        "PATH": f"{staff}/bin:{students}/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "COURSE_INSTANCE": site.instance,
        "COURSE_EXCHANGE": site.exchange,
        "HANDIN_URL": site.handin_url,
        "JUPYTERHUB_ROOT_DIR": site.checkout,
        "JUPYTERHUB_DEFAULT_URL": "/formgrader/manage_assignments",
        "JUPYTER_CONFIG_PATH": f"{site.jupyter}/service",
        "JUPYTER_PATH": f"{students}/share/jupyter",
        "JUPYTERLAB_DIR": f"{students}/share/jupyter/lab",
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        **({} if site.course_account else {"HOME": os.environ["HOME"]}),
    }


def handin_environment(site: Site) -> dict[str, str]:
    """Environment of the hand-in service, which needs nothing of the course but its published labs."""
    return {
        "PATH": f"{site.students_environment}/bin:/usr/bin:/bin",
        "HANDIN_FOLDER": site.handin,
        "HANDIN_PUBLISHED": str(outbound(Path(site.exchange))),
        "HANDIN_COLLECTOR": SERVICE,
        "HANDIN_TIME_ZONE": load_course().time_zone.key,
        "LANG": "C.UTF-8",
        **({} if site.handin_account else {"HOME": os.environ["HOME"]}),
    }


def _servers(c: Any, site: Site) -> None:
    c.Spawner.cmd = [f"{site.students_environment}/bin/jupyterhub-singleuser"]
    c.Spawner.default_url = "/lab"
    c.Spawner.mem_limit = MEMORY
    c.Spawner.http_timeout = 90
    c.Spawner.start_timeout = 90
    # nothing of the Hub's own environment reaches a user's server
    c.Spawner.env_keep = []
    c.Spawner.environment = {
        "PATH": f"{site.students_environment}/bin:/usr/bin:/bin",
        "JUPYTER_CONFIG_PATH": f"{site.jupyter}/user",
        "COURSE_EXCHANGE": site.exchange,
        "HANDIN_URL": site.handin_url,
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
    }
