"""The Pod Security Standard `restricted`, as far as these pods could break it.

https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from typing import Any

VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
HOST = ("hostNetwork", "hostPID", "hostIPC")


def violations(spec: dict[str, Any]) -> list[str]:
    """What a namespace that enforces `restricted` would refuse in a pod's spec."""
    whole = spec.get("securityContext", {})
    found = [name for name in HOST if spec.get(name)]
    for volume in spec.get("volumes", []):
        found += [f"volume {kind}" for kind in set(volume) - {"name"} - VOLUMES]
    for one in [*spec.get("initContainers", []), *spec["containers"]]:
        context = one.get("securityContext", {})
        both = {**whole, **context}
        if context.get("privileged"):
            found.append("privileged")
        if context.get("allowPrivilegeEscalation") is not False:
            found.append("privilege escalation")
        if context.get("capabilities", {}).get("drop") != ["ALL"] or context["capabilities"].get("add"):
            found.append("capabilities")
        if both.get("runAsNonRoot") is not True or both.get("runAsUser") == 0:
            found.append("root")
        if both.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            found.append("seccomp")
    return found
