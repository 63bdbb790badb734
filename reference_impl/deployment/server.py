"""The network behind an HTTP port.

    python -m reference_impl.deployment.server model.onnx --port 8800
    curl -d '{"texts": ["Bom dia a todos"]}' http://127.0.0.1:8800/classify

answers {"languages": [...], "probabilities": [...]}. One thread computes; requests wait their turn.
"""

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

import numpy
import onnxruntime
import tornado.web

from labkit import data, runtime, zoo

LONGEST_BODY, MOST_TEXTS, TOKENS = 64 * 1024, 32, 32


class Classifier:
    """An ONNX file and its tokenizer."""

    def __init__(self, path: Path) -> None:
        """Load the file for one thread."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.wanted = {item.name for item in self.session.get_inputs()}
        self.tokenizer = zoo.tokenizer("bert")
        self.names = list(data.LANGUAGES)

    def answer(self, texts: list[str]) -> dict[str, list[Any]]:
        """The language of each text and how sure the network is."""
        encoded = self.tokenizer(
            texts, padding="max_length", truncation=True, max_length=TOKENS, return_tensors="np"
        )
        feed = {key: value.astype(numpy.int64) for key, value in encoded.items() if key in self.wanted}
        logits = self.session.run(None, feed)[0]
        powers = numpy.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = powers / powers.sum(axis=1, keepdims=True)
        best = probabilities.argmax(axis=1)
        return {
            "languages": [self.names[number] for number in best],
            "probabilities": [
                round(float(row[number]), 4) for row, number in zip(probabilities, best, strict=True)
            ],
        }


class Classify(tornado.web.RequestHandler):
    """POST /classify"""

    def initialize(self, classifier: Classifier) -> None:
        """Take the classifier of the application."""
        self.classifier = classifier

    def post(self) -> None:
        """Classify the texts of the body; 400 with the reason when it is not what it should be."""
        try:
            texts = json.loads(self.request.body)["texts"]
        except (ValueError, KeyError, TypeError):
            self.refuse('the body must be JSON: {"texts": ["...", "..."]}')
            return
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            self.refuse("texts must be a list of strings")
        elif not 1 <= len(texts) <= MOST_TEXTS:
            self.refuse(f"1 to {MOST_TEXTS} texts a request, not {len(texts)}")
        else:
            self.write(self.classifier.answer(texts))

    def refuse(self, reason: str) -> None:
        """Answer 400."""
        self.set_status(400)
        self.write({"error": reason})


class Health(tornado.web.RequestHandler):
    """GET /health"""

    def get(self) -> None:
        """Say that the process answers."""
        self.write({"status": "ready"})


def application(path: Path) -> tornado.web.Application:
    """The two handlers around one file."""
    shared = {"classifier": Classifier(path)}
    return tornado.web.Application(
        [("/classify", Classify, shared), ("/health", Health)], log_function=lambda _: None
    )


async def serve(path: Path, port: int) -> None:
    """Listen on 127.0.0.1 until the process ends."""
    application(path).listen(port, "127.0.0.1", max_body_size=LONGEST_BODY)
    print(f"http://127.0.0.1:{port}/classify", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--port", type=int, default=8800)
    arguments = parser.parse_args()
    if not arguments.file.is_file():
        parser.error(
            f"there is no file {arguments.file}; python -m reference_impl.deployment --keep FOLDER writes it"
        )
    runtime.start()
    asyncio.run(serve(arguments.file, arguments.port))


if __name__ == "__main__":
    main()
