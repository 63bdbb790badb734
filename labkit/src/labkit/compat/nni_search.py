"""Neural architecture search and experiments of nni 3.0: a silent import, one folder, one machine.

nni is archived since 2024. Its import remarks on two classes that torch has added since; it keeps a list of all
experiments in the home folder and its settings beside the libraries; and its web server answers every network
interface, though it runs whatever command it is told.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from labkit.compat.filters import without_warning

LOOPBACK = """
const { Server } = require("net");
const listen = Server.prototype.listen;
Server.prototype.listen = function (port, ...rest) {
  if (typeof port !== "number") return listen.call(this, port, ...rest);
  return listen.call(this, { port, host: "127.0.0.1" }, ...rest.filter((item) => typeof item === "function"));
};
"""


def load_nni_nas() -> ModuleType:
    """Return ``nni.nas`` with its ``experiment``, ``evaluator``, ``strategy`` and ``nn.pytorch``.

    Its layers are generated; where they cannot be kept beside the library, it generates them again, and says so.
    """
    with (
        without_warning(RuntimeWarning, r".* is found to be not a nn\.Module"),
        without_warning(UserWarning, r"Cannot write to .*_layers\.py"),
    ):
        for part in ("nn.pytorch", "evaluator", "experiment", "strategy"):
            importlib.import_module(f"nni.nas.{part}")
    return importlib.import_module("nni.nas")


@contextlib.contextmanager
def nni_in(folder: str | Path) -> Iterator[int]:
    """Let nni keep its lists and settings in ``folder`` and serve 127.0.0.1 alone, inside the ``with`` block.

    Give an experiment the same folder as ``config.experiment_working_directory``, start it on the port that
    the block yields, and stop it before the block ends. nni's log below errors is dropped meanwhile.

    Args:
        folder: is made if it is missing.

    Yields:
        A free port.
    """
    home = Path(folder).absolute()
    home.mkdir(parents=True, exist_ok=True)
    preload = home / "loopback.js"
    preload.write_text(LOOPBACK)
    listed: Any = importlib.import_module("nni.tools.nnictl.config_utils").Experiments.__init__
    defaults = listed.__defaults__
    before = {name: os.environ.get(name) for name in ("NODE_OPTIONS", "NNI_CONFIG_DIR")}
    levels = {handler: handler.level for handler in logging.getLogger("nni").handlers}
    listed.__defaults__ = (str(home),)
    for handler in levels:  # the loggers of its speed-up have levels of their own
        handler.setLevel(logging.ERROR)
    os.environ["NODE_OPTIONS"] = f'{before["NODE_OPTIONS"] or ""} --require "{preload}"'.strip()
    os.environ["NNI_CONFIG_DIR"] = str(home / "config")
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        yield port
    finally:
        listed.__defaults__ = defaults
        for handler, level in levels.items():
            handler.setLevel(level)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
