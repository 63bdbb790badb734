"""Hand-ins that reach for files: of the system, the course, other hand-ins, the grader; and whole folders that do."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

from autograder.course import ROOT
from tests.adversarial.handin import NOTEBOOK, NOTHING, TELL, TRY, HandIn, cell, unchanged


def reaching(name: str, description: str, source: str) -> HandIn:
    """Attempts of which none may succeed."""
    return HandIn(name, description, cell(TRY + source))


WRITE = """
def write(path, text='zoo'):
    with open(path, 'w') as file: file.write(text)
    return f'wrote {path}'
"""

FILES = [
    reaching(
        "system files written",
        "writes to the system, the interpreter, the libraries, labkit and its own start",
        WRITE
        + """
import labkit, site
for folder in ('/', '/usr', '/usr/bin', '/usr/local/bin', '/etc', '/lib', '/bin', '/dev', '/opt', '/var', '/run', '/sys', sys.prefix, sys.base_prefix, *site.getsitepackages(),
               os.path.dirname(labkit.__file__), os.path.dirname(torch.__file__), os.path.dirname(sys.executable)):
    attempt(folder, lambda: write(folder + '/zoo.txt'))
for path in (labkit.__file__, sys.executable, '/etc/passwd', '/etc/ld.so.preload', '/etc/ld.so.cache', '/usr/bin/env'):
    attempt(path, lambda: open(path, 'r+b').write(b'x'))
    attempt(f'chmod {path}', lambda: os.chmod(path, 0o777) or True)
    attempt(f'remove {path}', lambda: os.remove(path) or True)""",
    ),
    reaching(
        "the kernel's folder written",
        "puts, replaces and removes files beside the sockets",
        WRITE
        + """
attempt('new', lambda: write('/kernel/zoo'))
for name in os.listdir('/kernel'):
    attempt(f'remove {name}', lambda: os.remove(f'/kernel/{name}') or True)
    attempt(f'rename {name}', lambda: os.rename(f'/kernel/{name}', '/kernel/zoo') or True)
    attempt(f'link {name}', lambda: os.link(f'/kernel/{name}', '/kernel/zoo') or True)
    attempt(f'chmod {name}', lambda: os.chmod(f'/kernel/{name}', 0) or True)
attempt('connection file', lambda: write('/kernel/c.json', '{}'))
attempt('jobs', lambda: write('/jobs/zoo'))""",
    ),
    reaching(
        "settings of the kernel",
        "writes to /proc/sys, /sys and control groups",
        WRITE
        + """
for path, text in (('/proc/sys/kernel/core_pattern', '|/tmp/x'), ('/proc/sys/kernel/modprobe', '/tmp/x'), ('/proc/sys/user/max_user_namespaces', '100'), ('/proc/sys/vm/overcommit_memory', '1'),
                   ('/proc/sys/kernel/hostname', 'zoo'), ('/proc/sys/net/ipv4/ip_forward', '1'), ('/proc/sysrq-trigger', 'h'), ('/proc/self/oom_score_adj', '-1000'), ('/proc/self/uid_map', '0 0 1'),
                   ('/proc/self/setgroups', 'allow'), ('/proc/self/attr/current', 'unconfined'), ('/sys/power/state', 'mem'), ('/sys/kernel/uevent_helper', '/tmp/x')):
    attempt(path, lambda: write(path, text))
for top in ('/sys/fs/cgroup', '/sys', '/cgroup'):
    attempt(top, lambda: [p for p, _, files in os.walk(top) for name in files if name in ('cgroup.procs', 'tasks', 'release_agent', 'memory.max') and os.access(f'{p}/{name}', os.W_OK)])""",
    ),
    reaching(
        "secrets of the machine",
        "reads accounts, keys, homes, logs and devices",
        """
for path in ('/etc/shadow', '/etc/gshadow', '/etc/sudoers', '/root', '/root/.ssh', '/home', '/var/log', '/var/lib', '/run/secrets', '/var/run/secrets', '/etc/ssl/private', '/proc/kcore', '/proc/kallsyms_',
             '/proc/keys', '/proc/kmsg', '/dev/mem', '/dev/kmsg', '/dev/sda', '/dev/vda', '/dev/fuse', '/dev/kvm', '/dev/net/tun', '/dev/loop0', '/dev/input', '/dev/nvidia0', '/sys/kernel/debug',
             '/.dockerenv', '/boot', '/lost+found', '/etc/machine-id', '/etc/hostname', '/etc/passwd', '/srv', '/mnt', '/media'):
    attempt(path, lambda: os.listdir(path) if os.path.isdir(path) else open(path, 'rb').read(50))
attempt('environment', lambda: [name for name in os.environ if {'KEY', 'TOKEN', 'SECRET', 'PASSWORD', 'COURSE', 'JUPYTERHUB', 'PGPASSWORD'} & set(name.split('_'))])""",
    ),
    reaching(
        "the course's checkout",
        "reads the course, by name, by link, through /proc and by walking up",
        f"root = {str(ROOT)!r}\n"
        + """
allowed = os.path.join(root, '.venv')
def look(path):
    found = [name for name in os.listdir(path) if not os.path.join(path, name).startswith(allowed)]
    return found
attempt('root', lambda: look(root))
for name in ('source', 'reference_impl', 'heldout', 'autograder', 'tests', 'course.toml', '.git', 'build', 'Makefile', '.venv-staff'):
    attempt(name, lambda: os.stat(f'{root}/{name}'))
os.makedirs('/tmp/l', exist_ok=True)
for number, target in enumerate((f'{root}/course.toml', '/proc/1/root' + root + '/course.toml', '/proc/self/root' + root + '/Makefile', allowed + '/../course.toml', '/kernel/../room', '/dev/fd/../../1/root/etc/shadow')):
    def link():
        os.symlink(target, f'/tmp/l/{number}')
        return open(f'/tmp/l/{number}', 'rb').read(50)
    attempt(target, link)
attempt('hard link', lambda: os.link('/usr/bin/env', '/tmp/l/env') or True)
attempt('walk up', lambda: [p for p in ('..', '../..', '../../..') for n in os.listdir(p) if n in ('course.toml', 'heldout', 'room', 'template.py') and os.access(p + '/' + n, os.R_OK) and n != 'template.py'])""",
    ),
    reaching(
        "devices and dumps",
        "makes device nodes and pipes, and dumps its memory",
        """
import resource, stat
attempt('mknod', lambda: os.mknod('/tmp/mem', 0o666 | stat.S_IFCHR, os.makedev(1, 1)) or True)
attempt('block', lambda: os.mknod('/tmp/disk', 0o666 | stat.S_IFBLK, os.makedev(8, 0)) or True)
attempt('core', lambda: resource.setrlimit(resource.RLIMIT_CORE, (1 << 30, 1 << 30)) or True)
def crash():
    code = subprocess.run([sys.executable, '-c', 'import ctypes; ctypes.string_at(0)'], cwd='/tmp', timeout=5).returncode
    return [p for p in os.listdir('/tmp') if 'core' in p]
attempt('dump', crash)
attempt('tty', lambda: os.open('/dev/tty', os.O_RDWR))
attempt('terminal', lambda: __import__('fcntl').ioctl(0, 0x5412, b'x') and False or os.isatty(0))
attempt('console', lambda: open('/dev/console', 'w').write('x'))""",
    ),
    reaching(
        "other hand-ins",
        "looks for folders and processes of other hand-ins",
        """
attempt('folders', lambda: [p for top in ('/tmp', '/jobs', '/box', '/dev/shm') for p in os.listdir(top)])
attempt('processes', lambda: [pid for pid in os.listdir('/proc') if pid.isdigit() and int(pid) not in (1, os.getpid()) and os.stat('/proc/' + pid).st_uid != os.getuid()])
attempt('mounts', lambda: [line for line in open('/proc/self/mountinfo') if '/submitted/' in line or 'instance' in line])
attempt('segments', lambda: open('/proc/sysvipc/shm').read().splitlines()[1:])
attempt('queues', lambda: os.listdir('/dev/mqueue'))""",
    ),
    HandIn(
        "links left in its folders",
        "leaves links to the grader's files where the grader removes a folder",
        cell(
            "import os\nfor top in ('/tmp', '/box', '/dev/shm'):\n"
            "    for n, target in enumerate(('/etc/passwd', '/', '/tmp', '..', '/proc/1/root')): os.symlink(target, f'{top}/link{n}')\n"
            "path = '/tmp'\nfor _ in range(300):\n    path += '/d'; os.mkdir(path)\nos.chmod('/tmp/d', 0)"
        ),
    ),
]  # fmt: skip


def replaced_by(make: str) -> HandIn:
    """A folder in which something else stands in the notebook's place."""

    def change(folder: Path) -> None:
        notebook = folder / NOTEBOOK
        notebook.unlink()
        secret = folder.parent / "gradebook.db"
        secret.write_text(MARKED)
        if make == "a link to the gradebook":
            notebook.symlink_to(secret)
        elif make == "a hard link to the gradebook":
            os.link(secret, notebook)
        elif make == "a pipe":
            os.mkfifo(notebook)
        elif make == "a folder":
            notebook.mkdir()
        elif make == "a socket":
            with socket.socket(socket.AF_UNIX) as server, contextlib.chdir(folder):
                server.bind(NOTEBOOK)
        elif make == "a device" and os.geteuid() == 0:
            os.mknod(notebook, 0o20666, os.makedev(1, 5))
        elif make == "a link to itself":
            notebook.symlink_to(NOTEBOOK)

    return HandIn(f"{make} for a notebook", "what is handed in is no file", unchanged, NOTHING, folder=change)


MARKED = '{"cells": [{"cell_type": "code", "source": "' + "LEAK" + ':", "metadata": {}}], "nbformat": 4}'


def crowded(folder: Path) -> None:
    """Names that mean something to a shell, an archive, a path, Python or nbgrader."""
    odd = (
        "-rf",
        "..%2f..%2fetc",
        "..\\..\\x",
        "a\nb",
        "`id`",
        "$(id)",
        "%s%n",
        "x" * 250,
        "con",
        " ",
        "\u202egpj.exe",
        "<img src=x onerror=alert(1)>",
    )
    own = (
        "torch.py",
        "sitecustomize.py",
        "nbgrader_config.py",
        "conftest.py",
        ".bashrc",
        "labkit.py",
        "numpy.so",
        "usercustomize.py",
        "01-Scale.py",
    )
    for name in (*odd, *own):
        (folder / name).write_text("raise SystemExit('" + "LEAK" + ":')")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe.ipynb")).write_text("x")


def deep(folder: Path) -> None:
    """Folders in folders."""
    path = folder / "d"
    for _ in range(200):
        path.mkdir()
        path /= "d"


def linked_extras(folder: Path) -> None:
    """Links in place of everything that may lie beside the notebook."""
    secret = folder.parent / "secret.txt"
    secret.write_text("LEAK" + ":")
    for name in ("notes.txt", "timestamp.txt", "submission_secret.txt"):
        (folder / name).symlink_to(secret)


def moved(folder: Path) -> None:
    """The folder itself is a link."""
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to("elsewhere")


LISTS = (
    TELL
    + "import os\nfor top, _, files in os.walk('/box'):\n    for name in files:\n        if name != 'notes.txt' and '.ipython' not in top: print(mark, top, name)"
)
FOLDERS = [
    *map(
        replaced_by,
        (
            "a link to the gradebook",
            "a hard link to the gradebook",
            "a pipe",
            "a folder",
            "a socket",
            "a device",
            "a link to itself",
        ),
    ),
    HandIn(
        "names that mean something",
        "files that a shell, Python or nbgrader would run",
        cell(LISTS),
        folder=crowded,
    ),
    HandIn("folders in folders", "two hundred levels", cell(LISTS), folder=deep),
    HandIn(
        "links beside the notebook",
        "links to a secret where notes and times should be",
        cell(LISTS),
        folder=linked_extras,
    ),
    HandIn("a link for a folder", "the folder itself is a link", unchanged, NOTHING, folder=moved),
    HandIn(
        "no notebook at all",
        "the folder is empty",
        unchanged,
        NOTHING,
        folder=lambda folder: (folder / NOTEBOOK).unlink(),
    ),
]

HAND_INS = FILES + FOLDERS
