"""Outputs of one cell as they come over the wire, in notebook form and bounded."""

from __future__ import annotations

import json
from typing import Any

KEPT_OUTPUT = 200_000
"""Characters of output kept per cell."""


class Outputs:
    """Outputs of one request, in notebook form, cut off after KEPT_OUTPUT characters."""

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.kept: list[dict[str, Any]] = []
        self.size = 0
        self.idle = False

    def add(self, message: dict[str, Any]) -> None:
        """Take one message of the output channel; messages of other requests are ignored."""
        if message["parent_header"].get("msg_id") != self.identity:
            return
        kind, content = message.get("msg_type"), message.get("content")
        if not isinstance(content, dict):
            return
        if kind == "status":
            self.idle = content.get("execution_state") == "idle"
            return
        output = self._notebook_form(kind, content)
        if output is None:
            return
        size = len(json.dumps(output, default=str))
        if self.size + size > KEPT_OUTPUT:
            if self.size <= KEPT_OUTPUT:
                self.kept.append(
                    {"output_type": "stream", "name": "stdout", "text": "\n[more output was cut off]\n"}
                )
            self.size = KEPT_OUTPUT + 1
            return
        self.size += size
        last = self.kept[-1] if self.kept else None
        if last and output["output_type"] == "stream" and last.get("name") == output["name"]:
            last["text"] += output["text"]
        else:
            self.kept.append(output)

    @staticmethod
    def _notebook_form(kind: object, content: dict[str, Any]) -> dict[str, Any] | None:
        if kind == "stream":
            name = "stderr" if content.get("name") == "stderr" else "stdout"
            return {"output_type": "stream", "name": name, "text": str(content.get("text", ""))}
        if kind in ("display_data", "execute_result") and isinstance(content.get("data"), dict):
            data = {str(key): value for key, value in content["data"].items() if isinstance(value, str)}
            return {"output_type": "display_data", "data": data, "metadata": {}}
        if kind == "error":
            trace = content.get("traceback")
            lines = [str(line) for line in trace][-30:] if isinstance(trace, list) else []
            return {
                "output_type": "error",
                "ename": str(content.get("ename", ""))[:80],
                "evalue": str(content.get("evalue", ""))[:500],
                "traceback": lines,
            }
        return None
