"""A load test: so many clients, each sends its next request when the last one is answered."""

import asyncio
import json
import statistics
import time
from dataclasses import dataclass

from tornado.httpclient import AsyncHTTPClient, HTTPClientError


@dataclass(frozen=True)
class Load:
    """Requests a second, times of a request in milliseconds, and how many were not answered with 200."""

    rate: float
    median: float
    p99: float
    failed: int


async def press(url: str, texts: list[str], *, clients: int, seconds: float, batch: int = 1) -> Load:
    """Send texts in turn for so many seconds and measure.

    Args:
        url: of the service.
        texts: sent again and again.
        clients: requests under way at the same time.
        seconds: after a warm-up of a tenth of it.
        batch: texts a request.
    """
    http = AsyncHTTPClient(force_instance=True, max_clients=clients)
    bodies = [json.dumps({"texts": texts[start : start + batch]}) for start in range(0, len(texts), batch)]
    begin = time.perf_counter() + seconds / 10
    end = begin + seconds
    times: list[float] = []
    failed = 0

    async def client(number: int) -> None:
        nonlocal failed
        while (started := time.perf_counter()) < end:
            try:
                await http.fetch(url, method="POST", body=bodies[number % len(bodies)])
            except (HTTPClientError, OSError):
                failed += 1
            if started >= begin:
                times.append(1000 * (time.perf_counter() - started))
            number += clients

    await asyncio.gather(*(client(number) for number in range(clients)))
    http.close()
    return Load(
        len(times) / seconds,
        statistics.median(times),
        statistics.quantiles(times, n=100)[98] if len(times) > 1 else times[0],
        failed,
    )
