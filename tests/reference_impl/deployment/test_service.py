"""The service answers what the network answers, refuses what it can not read, and survives a load test."""

import asyncio
import json
import socket
from pathlib import Path

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPClientError

from labkit import data, evaluation, zoo
from reference_impl.deployment.load import press
from reference_impl.deployment.pipeline import started
from reference_impl.deployment.server import MOST_TEXTS, Classifier, application
from reference_impl.results.onnx_files import write_float, write_int4, write_int8


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX file of a student that is cut out of BERT and not trained."""
    path = tmp_path_factory.mktemp("served") / "student.onnx"
    rows = data.tensors(data.languages()["train"], limit=4)
    write_float(started(zoo.load("bert")), {key: rows[key] for key in ("input_ids", "attention_mask")}, path)
    return path


def free_port() -> int:
    """A number for a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(file: Path, bodies: list[str]) -> list[tuple[int, dict[str, object]]]:
    """Serve a file, send each body, and return status and answer of each."""

    async def run() -> list[tuple[int, dict[str, object]]]:
        port = free_port()
        server = application(file).listen(port, "127.0.0.1")
        client = AsyncHTTPClient(force_instance=True)
        found = []
        for body in bodies:
            try:
                answer = await client.fetch(f"http://127.0.0.1:{port}/classify", method="POST", body=body)
            except HTTPClientError as refused:
                assert refused.response is not None
                answer = refused.response
            found.append((answer.code, json.loads(answer.body)))
        client.close()
        server.stop()
        await server.close_all_connections()
        return found

    return asyncio.run(run())


def test_the_service_answers_what_the_network_answers(file: Path) -> None:
    texts = [str(text) for text in data.languages()["validation"]["text"][:5]]
    rows = data.tensors(data.languages()["validation"], limit=5)
    logits = evaluation.logits(started(zoo.load("bert")), rows)
    ((status, answer),) = ask(file, [json.dumps({"texts": texts})])
    assert status == 200
    assert answer["languages"] == [list(data.LANGUAGES)[number] for number in logits.argmax(dim=-1)]
    assert answer["probabilities"] == pytest.approx(logits.softmax(dim=-1).amax(dim=-1).tolist(), abs=1e-3)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("no json", "must be JSON"),
        ("[1, 2]", "must be JSON"),
        ('{"text": "one"}', "must be JSON"),
        ('{"texts": "one"}', "list of strings"),
        ('{"texts": [1]}', "list of strings"),
        ('{"texts": []}', "1 to 32 texts"),
        (json.dumps({"texts": ["a"] * (MOST_TEXTS + 1)}), "not 33"),
    ],
)
def test_a_wrong_body_is_refused_with_the_reason(file: Path, body: str, reason: str) -> None:
    ((status, answer),) = ask(file, [body])
    assert status == 400 and reason in str(answer["error"])


def test_an_empty_text_is_answered(file: Path) -> None:
    assert Classifier(file).answer([""])["probabilities"][0] > 0.1


def test_clients_wait_for_their_answer(file: Path) -> None:
    async def run() -> None:
        port = free_port()
        server = application(file).listen(port, "127.0.0.1")
        load = await press(
            f"http://127.0.0.1:{port}/classify", ["Bom dia", "Good morning"], clients=3, seconds=1.0
        )
        wrong = await press(f"http://127.0.0.1:{port}/nothing", ["x"], clients=1, seconds=0.3)
        server.stop()
        await server.close_all_connections()
        assert load.failed == 0 and load.rate > 1 and load.p99 >= load.median > 0
        assert wrong.failed > 0

    asyncio.run(run())


def test_files_shrink_and_keep_the_answer(file: Path, tmp_path: Path) -> None:
    rows = data.tensors(data.languages()["train"], limit=32)
    batches = [{key: rows[key] for key in ("input_ids", "attention_mask")}]
    write_int8(file, tmp_path / "8.onnx", batches)
    write_int4(file, tmp_path / "4.onnx")
    wanted = evaluation.onnx_entry(file).model(batches[0]).softmax(dim=-1)
    sizes = [file.stat().st_size]
    for name in ("8.onnx", "4.onnx"):
        path = tmp_path / name
        sizes.append(path.stat().st_size)
        found = evaluation.onnx_entry(path).model(batches[0]).softmax(dim=-1)
        assert (found - wanted).abs().mean() < 0.05
    assert sizes[0] > 2.5 * sizes[1] > 2.5 * sizes[2]
