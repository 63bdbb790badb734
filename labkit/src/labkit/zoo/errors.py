"""The one way in which a model can be missing."""

from __future__ import annotations


class Unavailable(RuntimeError):
    """A model, its weights, its package or the GPU it needs is not here.

    The message is one line: what is missing, where it was looked for, what to do next.
    """

    def __init__(self, what: str, where: str, next_step: str) -> None:
        """Join the three parts into one line and keep each as an attribute."""
        self.what, self.where, self.next_step = what, where, next_step
        super().__init__(" ".join(f"{what} ({where}). {next_step}".split()))
