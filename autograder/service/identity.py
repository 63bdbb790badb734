"""Who sends a request, and whether they may: two walls in front of every handler of the server.

The identity provider is asked for every request before its handler runs, whatever decorators that
handler has. The authorizer is asked again by those handlers of Jupyter Server that ask at all.
"""

from __future__ import annotations

from typing import Any

from jupyter_server.auth import Authorizer, User
from jupyterhub.singleuser.extension import JupyterHubIdentityProvider
from tornado.web import HTTPError

from autograder.service.permissions import Role, may_request, role_of


class CourseIdentityProvider(JupyterHubIdentityProvider):  # type: ignore[misc]
    """Identity from the Hub; a request that the role may not send ends here with 403."""

    async def get_user(self, handler: Any) -> User | None:
        """The user, or None when nobody is logged in. Raises HTTPError 403."""
        user: User | None = await super().get_user(handler)
        if user is None:
            return None
        role = role_of(user.hub_user.get("groups", []))  # type: ignore[attr-defined]
        path = "/" + handler.request.path.removeprefix(handler.base_url).lstrip("/")
        if not may_request(role, handler.request.method, path):
            self.log.warning("refused %s %s to %s", handler.request.method, path, user.username)
            raise HTTPError(
                403, f"{user.username} may not do this here. Ask an instructor of the course if you need it."
            )
        return user


class CourseAuthorizer(Authorizer):
    """Contents, kernels, terminals, sessions and the rest of Jupyter Server: instructors only."""

    def is_authorized(self, handler: Any, user: User, action: str, resource: str) -> bool:
        """Whether `user` may do `action` on `resource`; neither matters, only the role does."""
        return role_of(user.hub_user.get("groups", [])) is Role.INSTRUCTOR  # type: ignore[attr-defined]
