"""A learning platform as far as a login goes: a key, its public half over HTTP, and pages that send a person on."""

from __future__ import annotations

import json
import threading
import time
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

CLAIM = "https://purl.imsglobal.org/spec/lti/claim/"
ROLE = "http://purl.imsglobal.org/vocab/lis/v2/membership#"
CLIENT = "10000000000042"
DEPLOYMENT = "7:c1a5"
FORM = """<!DOCTYPE html><form method="post" action="{action}"><input name="id_token" value="{token}">
<input name="state" value="{state}"></form><script>document.forms[0].submit()</script>"""
FRAME = '<!DOCTYPE html><title>A course</title><iframe id="frame" src="{url}"></iframe>'
LINK = '<!DOCTYPE html><title>A course</title><a id="open" href="{url}" target="_blank">Model compression</a>'


class Platform:
    """Runs until `stop`. `person` holds the claims of whoever is logged in there."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        self.person: dict[str, Any] = {}
        self.tool = ""
        self.key_requests = 0
        platform = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                platform.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """End the server."""
        self.server.shutdown()
        self.server.server_close()

    def start_request(self, **changes: str) -> dict[str, str]:
        """What the platform's link sends to the tool first."""
        target = f"{self.tool}/hub/"
        return {
            "iss": self.url, "client_id": CLIENT, "login_hint": "5", "lti_message_hint": "9",
            "target_link_uri": target, "lti_deployment_id": DEPLOYMENT, **changes,
        }  # fmt: skip

    def claims(self, nonce: str | None, **changes: Any) -> dict[str, Any]:
        """A right token's content for `person`; names in `changes` without a colon are LTI's, None takes one out."""
        now = int(time.time())
        found: dict[str, Any] = {
            "iss": self.url, "aud": CLIENT, "sub": "5", "iat": now, "exp": now + 60, "nonce": nonce,
            f"{CLAIM}version": "1.3.0", f"{CLAIM}deployment_id": DEPLOYMENT,
            f"{CLAIM}message_type": "LtiResourceLinkRequest", f"{CLAIM}target_link_uri": f"{self.tool}/hub/",
            f"{CLAIM}resource_link": {"id": "link-1"}, f"{CLAIM}roles": [f"{ROLE}Learner"],
        }  # fmt: skip
        found |= self.person | changes
        return {name: value for name, value in found.items() if value is not None}

    def sign(
        self, claims: dict[str, Any], key: Any = None, algorithm: str = "RS256", kid: str = "one"
    ) -> str:
        """A token; its key is the platform's, if none is given."""
        return jwt.encode(claims, self.key if key is None else key, algorithm, headers={"kid": kid})

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """`/jwks`, `/course` with the link, `/framed` with the tool inside, and `/authorize`, whose page posts a token to the tool."""
        parts = urlsplit(request.path)
        if parts.path == "/jwks":
            self.key_requests += 1
            public = RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
            body, kind = (
                json.dumps({"keys": [{**public, "kid": "one", "alg": "RS256", "use": "sig"}]}),
                "json",
            )
        elif parts.path in ("/course", "/framed"):
            url = f"{self.tool}/hub/lti13/oauth_login?{urlencode(self.start_request())}"
            body, kind = (LINK if parts.path == "/course" else FRAME).format(url=escape(url)), "html"
        else:
            asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
            token = self.sign(self.claims(asked["nonce"])) if "nonce" in asked else ""
            action, state = asked.get("redirect_uri", ""), asked.get("state", "")
            body, kind = FORM.format(action=escape(action), token=token, state=escape(state)), "html"
        request.send_response(200)
        request.send_header("Content-Type", "application/json" if kind == "json" else "text/html")
        request.end_headers()
        request.wfile.write(body.encode())
