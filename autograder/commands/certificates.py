"""`course certificates`"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from autograder.course import ROOT
from autograder.errors import ConfigurationError

FILES = {"ca.pem": "tls_ca_file", "cert.pem": "tls_client_cert", "key.pem": "tls_client_key"}
"""Names of the files, and where Dask's `Security` keeps what is in them."""
BIN = ROOT / ".venv-staff" / "bin"


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
def certificates(folder: Path) -> None:
    """Write a certificate for a cluster of graders into FOLDER, and print how to use it.

    Whoever can read key.pem can run programs on every worker. It is valid for a year.
    """
    write_certificates(folder)
    for command in commands(folder.resolve()):
        click.echo(command + "\n")
    click.echo("docs/cluster.md explains them.", err=True)


def write_certificates(folder: Path) -> None:
    """Write ca.pem, cert.pem and key.pem, readable by their owner only, into a folder that is made if needed.

    One key pair serves client, scheduler and workers: each trusts whoever holds it, and nobody else.
    Raises ConfigurationError when one of the files is there, and writes nothing then.
    """
    from distributed import Security

    present = [name for name in FILES if (folder / name).exists() or (folder / name).is_symlink()]
    if present:
        raise ConfigurationError(
            f"{folder} has {', '.join(present)} already: a running cluster may use it. Name another folder"
        )
    made = Security.temporary()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, field in FILES.items():
            descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(getattr(made, field))
    except OSError as error:
        raise ConfigurationError(f"{folder}: the certificate cannot be written: {error}") from error


def commands(folder: Path) -> list[str]:
    """What to run where: the scheduler, workers on each machine, and the grading itself."""
    ca, cert, key = (shlex.quote(str(folder / name)) for name in FILES)
    dask, course = (shlex.quote(str(BIN / name)) for name in ("dask", "course"))
    tls = f"--tls-ca-file {ca} --tls-cert {cert} --tls-key {key}"
    # without the address their page of counts and logs answers everybody, without encryption
    page = "--no-dashboard --dashboard-address 127.0.0.1:0"
    return [
        f"{dask} scheduler --protocol tls --port 8786 {page} {tls}",
        f"{dask} worker tls://SCHEDULER:8786 --nthreads 1 --nworkers N --memory-limit 0 {page} {tls}",
        f"DASK_DISTRIBUTED__COMM__TLS__CA_FILE={ca} DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT={cert} "
        f"DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY={key} {course} grade LAB --scheduler tls://SCHEDULER:8786",
    ]
