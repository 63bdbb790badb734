"""Hand-ins that take: processes, memory, disk, output, time. Each tells when it got more than its limits allow."""

from __future__ import annotations

from autograder.grade.sandbox import Limits
from tests.adversarial.handin import (
    HASTY,
    TELL,
    HandIn,
    both,
    cell,
    largest,
    without,
)
from tests.conftest import LIMITS

SLOW = {
    "one line of a hundred megabytes",
    "output past Python",
    "ten thousand displays",
    "pictures of fifty megabytes",
    "an error of fifty megabytes",
    "threads that spin",
    "signals ignored",
    "an object that shows itself",
    "errors swallowed",
    "recursion in C",
    "a representation without end",
    "one long instruction",
    "a deadlock",
    "an import without end",
    "its process group stopped",
    "as many processes as it can",
    "stopped",
}
"""Bombs that run until a limit, or are large; a few of each kind are kept for every day."""

HEAD = f"{TELL}import ctypes, mmap, os, signal, sys, threading, time\n"


def bomb(
    name: str,
    description: str,
    source: str,
    limits: Limits = HASTY,
    grouped: bool = False,
    nightly: bool = False,
) -> HandIn:
    """A bomb in a cell of the student's own; what follows is judged in a fresh kernel, if it has to be."""
    nightly = nightly or name in SLOW
    return HandIn(name, description, cell(HEAD + source), limits=limits, grouped=grouped, nightly=nightly)


PROCESSES = [
    bomb(
        "a fork bomb",
        "every process forks for ever",
        "while True:\n    try: os.fork()\n    except OSError: pass",
        nightly=True,
    ),
    bomb(
        "as many processes as it can",
        "forks children that wait, counts them, ends them",
        """count = 0
try:
    while count < 5000:
        if os.fork() == 0:
            time.sleep(60); os._exit(0)
        count += 1
except OSError: pass
os.kill(-1, signal.SIGKILL)
for _ in range(count): os.wait()
if count > 140: print(mark, count, 'processes')""",
        grouped=True,
    ),
    bomb(
        "as many threads as it can",
        "starts threads until it is refused",
        """stop, threads = threading.Event(), []
try:
    while len(threads) < 5000:
        threads.append(threading.Thread(target=stop.wait, daemon=True)); threads[-1].start()
except RuntimeError: pass
if len(threads) > 140: print(mark, len(threads), 'threads')
stop.set()
for thread in threads[:-1]: thread.join()""",
    ),
    bomb(
        "daemons",
        "twenty processes leave session and parent and stay",
        """for _ in range(20):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in range(1, 65):
                try: signal.signal(number, signal.SIG_IGN)
                except (OSError, ValueError): pass
            while True: time.sleep(1000)
        os._exit(0)""",
    ),
    bomb(
        "zombies",
        "a hundred children that nobody waits for",
        "for _ in range(100):\n    if os.fork() == 0: os._exit(0)",
        LIMITS,
    ),
    bomb(
        "processes that spin",
        "eight processes in the background take all the time they get",
        """for _ in range(8):
    if os.fork() == 0:
        os.setsid()
        while True: pass""",
        LIMITS,
    ),
    bomb(
        "threads that spin",
        "four threads in the background hold the interpreter",
        """def spin():
    while True: pass
for _ in range(4): threading.Thread(target=spin, daemon=True).start()""",
        LIMITS,
    ),
    bomb(
        "its process group killed", "signals everything in its process group", "os.killpg(0, signal.SIGKILL)"
    ),
    bomb(
        "its process group stopped", "stops everything in its process group", "os.killpg(0, signal.SIGSTOP)"
    ),
    bomb("stopped", "stops itself", "os.kill(os.getpid(), signal.SIGSTOP)"),
    bomb("a segmentation fault", "reads address nought", "ctypes.string_at(0)"),
    bomb("an exit", "ends the kernel", "os._exit(3)"),
    bomb("an abort", "aborts the kernel", "os.abort()"),
    HandIn(
        "an exit after the tests",
        "ends the kernel in the last cell",
        cell("import os\nos._exit(0)", before="question"),
        limits=HASTY,
    ),
    HandIn(
        "an exit between the tests",
        "ends the kernel between two tests",
        cell("import os\nos._exit(0)", before="largest"),
        limits=HASTY,
    ),
    HandIn(
        "memory after the tests",
        "takes all there is in the last cell",
        cell("blocks = []\nwhile True: blocks.append(b'x' * (64 << 20))", before="question"),
        limits=HASTY,
    ),
    HandIn(
        "a loop after the tests",
        "never ends in the last cell",
        cell("while True: pass", before="question"),
        limits=HASTY,
    ),
    HandIn(
        "lost again and again",
        "five cells that end the kernel; after the third it is not started again",
        both(*[cell("import os\nos._exit(0)", before="test_running_sum")] * 5),
        without("running_sum"),
        HASTY,
    ),
    HandIn(
        "processes in a call",
        "a call forks until it is refused",
        largest(
            """import os, time
try:
    while True:
        if os.fork() == 0: time.sleep(100); os._exit(0)
except OSError: return 3.0"""
        ),
        without("largest"),
        HASTY,
    ),
]

MEMORY = [
    bomb(
        "memory in one process",
        "takes 64 MiB again and again",
        """blocks = []
while len(blocks) < 60: blocks.append(b'x' * (64 << 20))
print(mark, len(blocks), 'blocks')""",
    ),
    bomb(
        "memory in many processes",
        "twelve processes take 128 MiB each at the same time",
        """here, there = os.pipe()
for _ in range(12):
    if os.fork() == 0:
        block = b'x' * (128 << 20); os.write(there, b'%8d' % os.getpid()); time.sleep(60); os._exit(0)
time.sleep(1)
os.set_blocking(here, False)
try: written = os.read(here, 1000)
except OSError: written = b''
full = [int(written[n:n + 8]) for n in range(0, len(written), 8)]
count = sum(os.waitpid(pid, os.WNOHANG) == (0, 0) for pid in full)
if count > 8: print(mark, count, 'processes of 128 MiB at once')
os.kill(-1, signal.SIGKILL)
try:
    while True: os.wait()
except ChildProcessError: pass""",
        grouped=True,
    ),
    bomb(
        "addresses only",
        "maps a terabyte and touches nothing",
        "kept = mmap.mmap(-1, 1 << 40, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)",
    ),
    bomb(
        "memory in files without names",
        "fills memfds, which no tmpfs limits",
        """files = []
for _ in range(150):
    files.append(os.memfd_create('x'))
    for _ in range(15): os.write(files[-1], b'x' * (1 << 20))
print(mark, len(files), 'files of 15 MiB')""",
        grouped=True,
    ),
    bomb(
        "memory in shared segments",
        "fills System V segments",
        """libc = ctypes.CDLL(None); libc.shmat.restype = ctypes.c_void_p
for n in range(40):
    segment = libc.shmget(0, 64 << 20, 0o1600)
    ctypes.memset(libc.shmat(segment, None, 0), 1, 64 << 20)
print(mark, '2.5 GiB of segments')""",
        grouped=True,
    ),
    bomb(
        "memory that stays taken",
        "a process in the background keeps most of the memory",
        """if os.fork() == 0:
    os.setsid(); block = b'x' * (500 << 20); time.sleep(1000)""",
    ),
    bomb(
        "memory locked",
        "locks all its memory, and what it will ever take",
        "print(ctypes.CDLL(None).mlockall(3))",
    ),
    HandIn(
        "memory in a call",
        "a call takes all there is",
        largest("blocks = []\nwhile True: blocks.append(b'x' * (64 << 20))"),
        without("largest"),
        HASTY,
    ),
    HandIn(
        "a terabyte in a call",
        "asks torch for a terabyte",
        largest("return float(torch.zeros(1 << 38)[0])"),
        without("largest"),
    ),
]

DISK = [
    bomb(
        "two gigabytes on disk",
        "writes files until it is refused, everywhere it can",
        """total = 0
for top in ('/tmp', '/box', '/dev/shm', '/kernel', '/', '/dev', '/run', '/var/tmp'):
    try:
        for n in range(300):
            with open(f'{top}/bomb{n}', 'wb') as file: total += file.write(b'0' * (7 << 20))
    except OSError: pass
if total > 110 << 20: print(mark, total >> 20, 'MiB')""",
        LIMITS,
    ),
    bomb(
        "one large file",
        "writes, truncates and allocates one file of a terabyte",
        """signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for what in (lambda f: os.ftruncate(f, 1 << 40), lambda f: os.posix_fallocate(f, 0, 1 << 30), lambda f: os.pwrite(f, b'x', 1 << 40)):
    file = os.open('/tmp/one', os.O_RDWR | os.O_CREAT)
    try: what(file); print(mark, os.fstat(file).st_size)
    except OSError as error: print(error)
    os.close(file)""",
        LIMITS,
    ),
    bomb(
        "a hundred thousand files",
        "makes empty files until it is refused",
        """for top in ('/tmp', '/box', '/dev/shm'):
    count = 0
    try:
        while count < 100_000: os.close(os.open(f'{top}/i{count}', os.O_CREAT)); count += 1
    except OSError: pass
    if count > 25_000: print(mark, top, count, 'files')""",
        LIMITS,
    ),
    bomb(
        "as many open files as it can",
        "opens files, pipes and sockets until it is refused",
        """opened = []
try:
    while len(opened) < 5000: opened += os.pipe()
except OSError: pass
if len(opened) > 300: print(mark, len(opened), 'descriptors')
for number in opened: os.close(number)""",
    ),
    bomb(
        "folders in folders in the sandbox",
        "nests folders deeper than a path may be",
        """os.chdir('/tmp')
for _ in range(3000): os.mkdir('d' * 50); os.chdir('d' * 50)
os.chdir('/box')""",
        LIMITS,
    ),
]

HAND_INS = PROCESSES + MEMORY + DISK
