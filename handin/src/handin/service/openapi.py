"""The addresses of the service in OpenAPI 3.1, for programs and for fuzzing."""

from __future__ import annotations

from typing import Any

ERROR = {
    "description": "Why not; nothing was changed.",
    "content": {
        "application/json": {
            "schema": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
        }
    },
}
TIME = {"type": "string", "format": "date-time"}
NO_TIME = {"type": ["string", "null"], "format": "date-time"}
ATTEMPT = {
    "type": "object",
    "required": ["id", "lab", "student", "number", "received", "sha256", "files", "due", "late", "feedback"],
    "properties": {
        "id": {"type": "integer"},
        "lab": {"type": "string"},
        "student": {"type": "string"},
        "number": {"type": "integer", "minimum": 1},
        "received": {**TIME, "description": "By the clock of the service."},
        "sha256": {
            "type": "string",
            "pattern": "^[0-9a-f]{64}$",
            "description": "Of the files, not the archive.",
        },
        "files": {"type": "object", "additionalProperties": {"type": "integer"}},
        "due": {**NO_TIME, "description": "The student's deadline as it was when this arrived."},
        "late": {"type": "boolean", "description": "By the student's deadline as it is now."},
        "feedback": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
LAB = {
    "type": "object",
    "required": ["lab", "files", "due", "closes"],
    "properties": {
        "lab": {"type": "string"},
        "files": {"type": "array", "items": {"type": "string"}},
        "due": NO_TIME,
        "closes": NO_TIME,
    },
}
DEADLINE = {
    "type": "object",
    "required": ["due"],
    "properties": {
        "due": TIME,
        "closes": NO_TIME,
        "extensions": {"type": "object", "additionalProperties": TIME},
    },
}
SCORE = {
    "type": "object",
    "required": ["score", "maximum"],
    "properties": {"score": {"type": "number", "minimum": 0}, "maximum": {"type": "number", "minimum": 0}},
}
REQUEST = {
    "type": "object",
    "required": ["id", "attempt", "student", "lab", "number", "text", "asked", "answer", "answered"],
    "properties": {
        "id": {"type": "integer"},
        "attempt": {"type": "integer"},
        "student": {"type": "string"},
        "lab": {"type": "string"},
        "number": {"type": "integer"},
        "text": {"type": "string"},
        "asked": TIME,
        "answer": {"type": ["string", "null"]},
        "answered": NO_TIME,
    },
}
TEXT = {"text/plain": {"schema": {"type": "string", "minLength": 1}}}
ZIP = {"application/zip": {"schema": {"type": "string", "format": "binary"}}}
PAGE = {"text/html": {"schema": {"type": "string"}}}


def description(prefix: str) -> dict[str, Any]:
    """The description of a service below the address `prefix`."""
    attempts = {
        "type": "object",
        "required": ["attempts"],
        "properties": {"attempts": {"type": "array", "items": ATTEMPT}},
    }
    overview = {
        "type": "object",
        "required": ["student", "labs", "attempts"],
        "properties": {
            "student": {"type": "string"},
            "labs": {"type": "array", "items": LAB},
            "attempts": {"type": "array", "items": ATTEMPT},
        },
    }
    requests = {
        "type": "object",
        "required": ["requests"],
        "properties": {"requests": {"type": "array", "items": REQUEST}},
    }
    number = {"type": "object", "required": ["attempts"], "properties": {"attempts": {"type": "integer"}}}
    lab, student = _name("lab"), _name("student")
    one = {"name": "number", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 0}}
    notebook = _name("notebook")
    whose = {"name": "student", "in": "query", "required": True, "schema": {"type": "string"}}
    replace = {"name": "replace", "in": "query", "schema": {"type": "string", "enum": ["0", "1"]}}
    up_to = {"name": "up_to", "in": "query", "schema": {"type": "integer", "minimum": 0}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Handing in", "version": "1"},
        "servers": [{"url": prefix.rstrip("/") or "/"}],
        "components": {
            "securitySchemes": {"hub": {"type": "apiKey", "in": "header", "name": "Authorization"}},
        },
        "security": [{"hub": []}],
        "paths": {
            "/api/overview": {
                "get": _operation("Labs that are out and what I handed in", _json(overview), [])
            },
            "/api/labs/{lab}/package": {"get": _operation("A lab's files", ZIP, [lab])},
            "/api/labs/{lab}/attempts": {
                "post": _operation("Hand in", _json(ATTEMPT), [lab], body=ZIP, status="201"),
            },
            "/api/labs/{lab}/newest": {
                "get": _operation("The last attempt of each student (collecting)", _json(attempts), [lab])
            },
            "/api/labs/{lab}/deadline": {
                "put": _operation(
                    "Set a lab's deadline and extensions (collecting)",
                    None,
                    [lab],
                    body=_json(DEADLINE),
                    status="204",
                ),
            },
            "/api/attempts/{number}/package": {"get": _operation("What was handed in", ZIP, [one])},
            "/api/attempts/{number}/feedback/{notebook}": {
                "get": _operation("The feedback on one notebook", PAGE, [one, notebook]),
                "put": _operation(
                    "Give feedback (collecting)", None, [one, notebook, whose], body=PAGE, status="204"
                ),
            },
            "/api/attempts/{number}/score": {
                "put": _operation(
                    "Tell a score (collecting)", None, [one, whose], body=_json(SCORE), status="204"
                ),
            },
            "/api/requests": {"get": _operation("Requests to look again (collecting)", _json(requests), [])},
            "/api/requests/{number}/answer": {
                "put": _operation("Answer one (collecting)", None, [one, replace], body=TEXT, status="204"),
            },
            "/api/students/{student}": {
                "get": _operation("All that is kept of one person (collecting)", _json(attempts), [student]),
                "delete": _operation("Delete it (collecting)", _json(number), [student, up_to]),
            },
        },
    }


def _name(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _operation(
    summary: str,
    content: dict[str, Any] | None,
    parameters: list[dict[str, Any]],
    *,
    body: dict[str, Any] | None = None,
    status: str = "200",
) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": summary}
    if content:
        answer["content"] = content
    operation: dict[str, Any] = {
        "summary": summary,
        "parameters": parameters,
        "responses": {status: answer, "4XX": ERROR, "5XX": ERROR},
    }
    if body:
        operation["requestBody"] = {"required": True, "content": body}
    return operation
