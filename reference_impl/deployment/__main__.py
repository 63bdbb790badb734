"""Take the language classifier from float32 to a served 8-bit file, and measure every step.

    python -m reference_impl.deployment                 # about three minutes
    python -m reference_impl.deployment --keep FOLDER   # the same, and the files stay

prints two Markdown tables: the files, and the load test of the first and of the last one. The server runs in a process
of its own; clients and server share the machine.
"""

import argparse
import asyncio
import contextlib
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from heldout import languages
from labkit import data, evaluation, runtime
from reference_impl.deployment.load import press
from reference_impl.deployment.pipeline import Step, build

SECONDS, ROUNDS, WAIT = 6.0, 3, 60
CASES = ((1, 1), (8, 1), (8, 16))
"""Clients and texts a request."""


def files(steps: list[Step]) -> None:
    """Print what each step weighs and knows, and how long eight sentences take."""
    test = data.tensors(languages())
    timed = {key: value[:8] for key, value in test.items()}
    entries = {step.name: evaluation.onnx_entry(step.path).model for step in steps}
    times = evaluation.latencies(
        {name: lambda model=model: evaluation.logits(model, timed) for name, model in entries.items()},
        repeats=100,
    )
    first = steps[0].path.stat().st_size
    print("| step | bytes | times smaller | test accuracy | 8 sentences, ms |\n|---|---|---|---|---|")
    for step in steps:
        size = step.path.stat().st_size
        right = evaluation.quality(entries[step.name], test)[1]
        print(
            f"| {step.name} | {size:,} | {first / size:.2f} | {right:.3f} | {times[step.name].median:.2f} |",
            flush=True,
        )


@contextlib.contextmanager
def served(path: Path) -> Iterator[str]:
    """Start a server for a file on a free port, and end it afterwards.

    Raises:
        RuntimeError: it does not answer within a minute.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "reference_impl.deployment.server", str(path), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            for _ in range(10 * WAIT):
                with contextlib.suppress(urllib.error.URLError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
                    break
                if process.poll() is not None:
                    raise RuntimeError(f"the server ended with status {process.returncode}")
                asyncio.run(asyncio.sleep(0.1))
            else:
                raise RuntimeError(f"the server did not answer within {WAIT} s")
            yield f"http://127.0.0.1:{port}/classify"
        finally:
            process.terminate()


def load_test(steps: list[Step]) -> None:
    """Print the load test: both servers are up, and are pressed in turns."""
    texts = [str(text) for text in data.languages()["validation"]["text"][:512]]
    print(
        "\n| file | clients, texts a request | requests a second | median, ms | 99th percentile, ms | failed |\n"
        "|---|---|---|---|---|---|"
    )
    with served(steps[0].path) as before, served(steps[-1].path) as after:
        for clients, batch in CASES:
            found: dict[str, list[tuple[float, float, float, int]]] = {}
            for _ in range(ROUNDS):
                for step, url in ((steps[0], before), (steps[-1], after)):
                    result = asyncio.run(press(url, texts, clients=clients, seconds=SECONDS, batch=batch))
                    found.setdefault(step.name, []).append(
                        (result.rate, result.median, result.p99, result.failed)
                    )
            for name, rounds in found.items():
                rates = sorted(rate for rate, *_ in rounds)
                medians = sorted(median for _, median, _, _ in rounds)
                tails = sorted(tail for _, _, tail, _ in rounds)
                middle = ROUNDS // 2
                print(
                    f"| {name} | {clients}, {batch} | {rates[middle]:.0f} ({rates[0]:.0f} to {rates[-1]:.0f}) | "
                    f"{medians[middle]:.2f} | {tails[middle]:.2f} | {sum(failed for *_, failed in rounds)} |",
                    flush=True,
                )


def main() -> None:
    """Build, measure, serve, press."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--keep", type=Path, default=None, help="folder for the ONNX files")
    keep = parser.parse_args().keep
    runtime.start(seed=0)
    with contextlib.ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        steps = build(folder)
        files(steps)
        load_test(steps)


if __name__ == "__main__":
    main()
