"""What a hand-in is worth: accuracy kept on pictures that nobody has seen, and how much smaller the file is.

The held-out pictures are moved and mirrored by a secret that belongs to the instance, so that a network which has
memorised the published test pictures gains nothing from it.
"""

from __future__ import annotations

import hashlib
import hmac
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from labkit.capstone.artifact import MANIFEST, TENSORS, ArtifactError, read_artifact
from labkit.capstone.decoder import rebuild
from labkit.capstone.score import score, transformed

from heldout import fashion
from labkit import data, evaluation, zoo


@dataclass(frozen=True)
class Result:
    """One hand-in's measurement. Accuracies are shares of pictures; `size` and `base_size` are bytes."""

    nickname: str
    size: int
    base_size: int
    accuracy: float
    base_accuracy: float
    public_accuracy: float

    @property
    def kept(self) -> float:
        """Share of the uncompressed network's accuracy, on the same pictures."""
        return self.accuracy / self.base_accuracy

    @property
    def ratio(self) -> float:
        """How many times smaller the file is."""
        return self.base_size / self.size

    @property
    def score(self) -> float:
        """Share kept times ratio, and 0 where too little is kept."""
        return score(self.kept, self.ratio)

    @property
    def gap(self) -> float:
        """Accuracy on the public validation pictures less that on the transformed ones."""
        return self.public_accuracy - self.accuracy

    def to_dict(self) -> dict[str, object]:
        """The object of `course capstone --json`."""
        derived = {"kept": self.kept, "ratio": self.ratio, "score": self.score, "gap": self.gap}
        return asdict(self) | derived


def secret_seed(secret: str, term: str) -> int:
    """The seed of a term's transformation, 0 to 2^63 - 1; it can not be guessed without the instance's secret."""
    digest = hmac.new(secret.encode(), f"capstone {term}".encode(), hashlib.sha256).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class Examination:
    """Pictures and the uncompressed network's accuracy on them, made once for many hand-ins."""

    def __init__(self, seed: int) -> None:
        self.hidden = transformed(data.tensors(fashion()), seed)
        self.public = data.tensors(data.fashion()["validation"])
        base = zoo.load("vit")
        self.base_size = evaluation.stored_bytes(base)
        self.base_accuracy = evaluation.quality(base, self.hidden)[1]

    def measure_contents(self, tensors: bytes, manifest: bytes) -> Result:
        """Measure a hand-in given as the contents of its two files. Raises ArtifactError as `measure` does."""
        with tempfile.TemporaryDirectory() as folder:
            for name, content in ((TENSORS, tensors), (MANIFEST, manifest)):
                Path(folder, name).write_bytes(content)
            return self.measure(Path(folder))

    def measure(self, folder: Path) -> Result:
        """Rebuild a hand-in and measure it.

        Raises:
            ArtifactError: the hand-in can not be rebuilt, or its answers are not finite.
        """
        artifact = read_artifact(folder)
        network = rebuild(artifact)
        found = []
        for rows in (self.hidden, self.public):
            logits = evaluation.logits(network, {"pixel_values": rows["pixel_values"]})
            if not bool(torch.isfinite(logits).all()):
                raise ArtifactError("the network's answers are not finite numbers")
            found.append(evaluation.accuracy(logits, rows["labels"]))
        return Result(
            artifact.manifest.get("nickname", "without a name"),
            artifact.size,
            self.base_size,
            found[0],
            self.base_accuracy,
            found[1],
        )
