"""Sign-ups with a password of the Hub's own, for people on the list only, approved by staff one by one.

nativeauthenticator alone would let in whoever signs up first under a listed name, because it takes
`allowed_users` for people who were approved. It also approves on a GET, which any page can cause.
"""

from __future__ import annotations

from html import escape
from typing import Any

from jupyterhub.handlers import BaseHandler
from nativeauthenticator import NativeAuthenticator  # type: ignore[import-untyped]
from nativeauthenticator.orm import UserInfo  # type: ignore[import-untyped]
from tornado import web
from traitlets import Set, Unicode

UNSAFE = ("/authorize", "/discard", "/confirm", "/change-password/")
PAGE = """<!DOCTYPE html><html lang="en"><title>Sign-ups</title><h1>Sign-ups</h1>
<p>Approve a name when the person told you in class or by mail that they signed up. Discard it otherwise,
or to let somebody who forgot the password sign up again.</p><table>{rows}</table></html>"""
ROW = """<tr><td>{name}</td><td>{state}</td><td><form method="post"><input type="hidden" name="_xsrf" value="{xsrf}">
<input type="hidden" name="name" value="{name}">{buttons}</form></td></tr>"""
BUTTON = '<button name="action" value="{action}">{action}</button> '


class ApprovedSignUps(NativeAuthenticator):  # type: ignore[misc]
    """NativeAuthenticator without the ways around an approval."""

    instructors = Set(
        Unicode(), help="Who approves. Their own sign-ups only the administrator approves."
    ).tag(config=True)

    def get_authed_users(self) -> set[str]:
        """Those who were approved; to be listed is not enough."""
        return {info.username for info in UserInfo.all_users(self.db) if info.is_authorized}

    def create_user(self, username: str, password: str, **others: Any) -> Any:
        """Sign somebody up whose name is listed; None for everybody else."""
        if self.normalize_username(username) not in self.allowed_users:
            return None
        return super().create_user(username, password, **others)

    def get_handlers(self, app: Any) -> list[tuple[str, Any]]:
        """nativeauthenticator's pages, ours in place of those that change something on a GET."""
        kept = [pair for pair in super().get_handlers(app) if not pair[0].startswith(UNSAFE)]
        return [*kept, (r"/sign-ups", SignUpsPage)]


def decide(db: Any, name: str, action: str) -> bool:
    """Approve or discard a sign-up. Whether there was one."""
    info = UserInfo.find(db, name)
    if info is None:
        return False
    if action == "approve":
        info.is_authorized = True
    else:
        db.delete(info)
    db.commit()
    return True


class SignUpsPage(BaseHandler):  # type: ignore[misc]
    """`/hub/sign-ups`: who waits; for instructors. A change is a POST, which JupyterHub checks for forgery."""

    def _require_instructor(self) -> None:
        if self.current_user.name not in self.authenticator.instructors:
            raise web.HTTPError(403, "Only an instructor approves sign-ups.")

    def _may_decide(self, name: str) -> bool:
        return name not in self.authenticator.instructors

    @web.authenticated
    def get(self) -> None:
        """The list, waiting names first."""
        self._require_instructor()
        found = sorted(UserInfo.all_users(self.db), key=lambda info: (info.is_authorized, info.username))
        rows = []
        for info in found:
            actions = [] if not self._may_decide(info.username) else ["discard"]
            if actions and not info.is_authorized:
                actions.insert(0, "approve")
            rows.append(
                ROW.format(
                    name=escape(info.username),
                    state="approved" if info.is_authorized else "waits",
                    xsrf=escape(self.xsrf_token.decode("ascii")),
                    buttons="".join(BUTTON.format(action=action) for action in actions),
                )
            )
        self.finish(PAGE.format(rows="".join(rows)))

    @web.authenticated
    def post(self) -> None:
        """Decide about one name."""
        self._require_instructor()
        name, action = self.get_body_argument("name"), self.get_body_argument("action")
        if action not in ("approve", "discard") or not self._may_decide(name):
            raise web.HTTPError(403, f"The administrator decides about {name}.")
        if not decide(self.db, name, action):
            raise web.HTTPError(404, f"{name} has not signed up.")
        self.log.info("%s: %s %s", self.current_user.name, action, name)
        self.redirect(f"{self.hub.base_url}sign-ups")
