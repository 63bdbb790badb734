"""Judge many jobs at once: Dask `distributed` over this machine's cores, or over a cluster.

Everything between client, scheduler and workers goes through mutual TLS, because a scheduler takes pickled
functions from whoever reaches it. Results are stored by the caller as they come, so whatever is killed, the
same command continues where it was.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from autograder.errors import ConfigurationError, EngineError
from autograder.grade.cgroups import hierarchy
from autograder.grade.sandbox import Sandbox
from autograder.grade.slot import FOLDER, sweep
from autograder.grade.verdict import NotebookVerdict
from autograder.grade.work import Fault, pack, unpack, work

AHEAD = 4
"""Jobs handed to the scheduler for each worker; the rest stays here, so that its memory does not grow."""
COUNT_SECONDS = 5.0
"""Between two counts of the workers; on a cluster they come and go."""
ALLOWED_DEATHS = 3
"""Workers that may die under one job before the job is given up."""


@dataclass
class Engine:
    """Where jobs run: `workers` processes of this machine, or the cluster whose scheduler is at `scheduler`.

    One worker on this machine needs no cluster and is this process.
    """

    workers: int = 1
    scheduler: str = ""
    patience: int = 30
    """Seconds to wait for the scheduler's first word."""
    _kept: contextlib.ExitStack | None = field(default=None, init=False, repr=False)
    _client: Any = field(default=None, init=False, repr=False)

    def __enter__(self) -> Engine:
        """Keep the workers from one `run` to the next; they start when there is something to judge."""
        self._kept = contextlib.ExitStack()
        return self

    def __exit__(self, *_: object) -> None:
        kept, self._kept, self._client = self._kept, None, None
        if kept is not None:
            kept.close()

    def run(
        self,
        jobs: Iterable[tuple[str, dict[str, Any]]],
        sandbox: Sandbox,
        running: Callable[[int], None] = lambda count: None,
        do: Callable[[bytes], bytes] = work,
    ) -> Iterator[tuple[str, NotebookVerdict | Fault]]:
        """Judge jobs, given with a key each; results come in the order in which they are ready.

        `running` is told how many are out; `do` is what a worker does with a payload. Raises EngineError when
        the cluster is lost.
        """
        jobs = iter(jobs)
        first = list(itertools.islice(jobs, 1))
        if not first:
            return  # nothing to judge needs no cluster
        jobs = itertools.chain(first, jobs)
        if self.workers == 1 and not self.scheduler:
            for key, job in jobs:
                running(1)
                yield key, unpack(do(pack(job, sandbox)))
            running(0)
            return
        with contextlib.ExitStack() as once:
            client = self._client
            if client is None:
                stack = self._kept or once
                stack.enter_context(_quiet())
                client = stack.enter_context(self._connected())
                self._client = client if self._kept else None
            yield from _distributed(client, jobs, sandbox, running, do)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Any]:
        import dask
        from distributed import Client, LocalCluster, Security

        settings = {
            "distributed.scheduler.allowed-failures": ALLOWED_DEATHS,
            "distributed.admin.log-length": 100,
        }
        with contextlib.ExitStack() as stack:
            stack.enter_context(dask.config.set(settings))
            stack.callback(sweep)  # a worker that is killed leaves its folder
            if self.scheduler:
                if not self.scheduler.startswith("tls://"):
                    raise ConfigurationError(
                        f"--scheduler {self.scheduler}: only tls:// is accepted, because a scheduler runs what it is "
                        "sent. Start it with --tls-ca-file, --tls-cert and --tls-key (docs/cluster.md)"
                    )
                address, security = self.scheduler, Security(require_encryption=True)
                # a Client without them takes a minute to fail
                if not (security.tls_ca_file and security.tls_client_cert):
                    raise ConfigurationError(
                        f"--scheduler {self.scheduler}: no certificates are configured for Dask (docs/cluster.md)"
                    )
            else:
                hierarchy()  # before workers are born, because a control group is handed down by an empty one
                security = Security.temporary()
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{FOLDER}-{os.getpid()}-"))
                cluster = stack.enter_context(
                    LocalCluster(
                        n_workers=self.workers,
                        threads_per_worker=1,
                        processes=True,
                        host="127.0.0.1",
                        protocol="tls://",
                        security=security,
                        dashboard_address=None,
                        memory_limit=0,
                        local_directory=folder,
                        silence_logs=logging.CRITICAL,
                    )
                )
                address = cluster.scheduler_address
            try:
                client = Client(address, security=security, timeout=self.patience, set_as_default=False)
            except (OSError, TimeoutError, ValueError) as error:
                raise EngineError(f"the scheduler {address} cannot be reached: {error}") from error
            stack.enter_context(client)
            try:
                client.wait_for_workers(1, timeout=self.patience)
            except TimeoutError as error:
                raise EngineError(
                    f"the scheduler {address} has no workers: start some (docs/cluster.md)"
                ) from error
            yield client


SERIAL = Engine()
"""One hand-in after another, in this process."""


def _distributed(
    client: Any,
    jobs: Iterable[tuple[str, dict[str, Any]]],
    sandbox: Sandbox,
    running: Callable[[int], None],
    do: Callable[[bytes], bytes],
) -> Iterator[tuple[str, NotebookVerdict | Fault]]:
    from distributed import as_completed

    waiting = iter(jobs)
    names: dict[str, str] = {}
    finished = as_completed(loop=client.loop)
    room, counted = 0, 0.0

    def hand_out() -> None:
        nonlocal room, counted
        if time.monotonic() > counted + COUNT_SECONDS:
            room = AHEAD * max(1, len(client.scheduler_info(n_workers=-1)["workers"]))
            counted = time.monotonic()
        for key, job in waiting:
            future = client.submit(do, pack(job, sandbox), pure=False)
            names[future.key] = key
            finished.add(future)
            if len(names) >= room:
                break
        running(len(names))

    hand_out()
    while names:
        future = next(finished)
        key = names.pop(future.key)
        yield key, _result(client, future)
        hand_out()


def _result(client: Any, future: Any) -> NotebookVerdict | Fault:
    """What came of a job that has ended. Its worker may have died since, with the result: then it is made again.

    Raises EngineError when the scheduler is lost.
    """
    from distributed import CancelledError

    try:
        result = future.result()
    except (Exception, CancelledError) as error:
        if client.status == "running" and future.status == "error":
            return Fault(f"its worker died or failed: {error!r:.500}")
        raise EngineError(
            "the connection to the scheduler was lost. What was judged is kept: run the same command again"
        ) from error
    return unpack(result)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Dask logs a lost connection at length; what matters of it is raised."""
    names = (
        "distributed",
        "distributed.client",
        "distributed.scheduler",
        "distributed.nanny",
        "tornado.application",
    )
    levels = {name: logging.getLogger(name).level for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
