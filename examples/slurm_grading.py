"""Grade on a Slurm cluster: a scheduler here, one Slurm job for each worker, then `course grade`.

    .venv-staff/bin/python -m pip install dask-jobqueue==0.9.0
    .venv-staff/bin/course certificates CERTIFICATES
    .venv-staff/bin/python examples/slurm_grading.py --certificates CERTIFICATES --print-script
    .venv-staff/bin/python examples/slurm_grading.py --certificates CERTIFICATES --jobs 16 -- grade Lab-3.1

Run it where Slurm's nodes can reach it, often a login node. This checkout, its .venv and CERTIFICATES have to lie on
a file system that the nodes share, under the same path. Change the options of SLURMCluster below to what your
cluster wants; docs/cluster.md says what a worker needs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from dask_jobqueue import SLURMCluster
from distributed import Security

ROOT = Path(__file__).resolve().parent.parent
PAGE = "127.0.0.1:0"
"""Where Dask shows counts and logs without encryption: to nobody outside its machine."""
PATIENCE = 24 * 3600
"""Seconds to wait for Slurm to start the first worker."""


def security(certificates: Path) -> Security:
    """The files that `course certificates` wrote, for all three parties."""
    files = {"tls_ca_file": str(certificates / "ca.pem")}
    for party in ("client", "scheduler", "worker"):
        files[f"tls_{party}_cert"] = str(certificates / "cert.pem")
        files[f"tls_{party}_key"] = str(certificates / "key.pem")
    return Security(require_encryption=True, **files)


def make_cluster(certificates: Path, queue: str | None, walltime: str, logs: Path) -> SLURMCluster:
    """A scheduler in this process. Nothing is asked of Slurm before its `scale`."""
    return SLURMCluster(
        queue=queue,
        walltime=walltime,
        cores=1,  # a worker judges one notebook at a time
        processes=1,
        memory="8GB",  # a kernel may use 4 GiB, the rest is for judge and templates
        job_name="course-worker",
        python=str(ROOT / ".venv-staff" / "bin" / "python"),
        local_directory="/tmp",
        log_directory=str(logs),
        protocol="tls://",
        security=security(certificates),
        worker_extra_args=["--no-dashboard", "--dashboard-address", PAGE],
        job_script_prologue=["export OMP_NUM_THREADS=1"],
        scheduler_options={"dashboard": False, "dashboard_address": PAGE},
    )


def main() -> int:
    """Start the cluster and run the command on it; the exit status is the command's."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--certificates", type=Path, required=True, help="folder of `course certificates`")
    parser.add_argument("--jobs", type=int, default=8, help="Slurm jobs, one worker each")
    parser.add_argument("--queue", help="partition")
    parser.add_argument("--walltime", default="04:00:00", help="of one job")
    parser.add_argument("--logs", type=Path, default=ROOT / "build" / "slurm", help="where jobs write")
    parser.add_argument("--print-script", action="store_true", help="print the job script and stop")
    parser.add_argument("command", nargs="*", help="what `course` is told, such as: grade Lab-3.1")
    given = parser.parse_args()
    certificates = given.certificates.resolve()
    given.logs.mkdir(parents=True, exist_ok=True)
    with make_cluster(certificates, given.queue, given.walltime, given.logs.resolve()) as cluster:
        if given.print_script:
            print(cluster.job_script())
            return 0
        cluster.scale(jobs=given.jobs)
        cluster.wait_for_workers(1, timeout=PATIENCE)
        course = str(ROOT / ".venv-staff" / "bin" / "course")
        settings = {
            "DASK_DISTRIBUTED__COMM__TLS__CA_FILE": str(certificates / "ca.pem"),
            "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT": str(certificates / "cert.pem"),
            "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY": str(certificates / "key.pem"),
        }
        command = [course, *given.command, "--scheduler", cluster.scheduler_address]
        return subprocess.run(command, env={**os.environ, **settings}).returncode


if __name__ == "__main__":
    sys.exit(main())
