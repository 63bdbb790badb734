"""Hand-ins that carry hidden inputs or hidden tests out: through outputs, errors, names, files, memory, time."""

from __future__ import annotations

from tests.adversarial.handin import (
    HASTY,
    LARGEST,
    TELL,
    TRY,
    HandIn,
    both,
    cell,
    largest,
    scale,
    solve,
    without,
)

HIDDEN = "if x.numel() != 8: "
"""The small lab shows tensors of eight elements and hides the others."""
ROUND = "return torch.round(x * factor)"
SCALE_LOST = without("scale_tensor")
LARGEST_LOST = without("largest")


def talking(name: str, description: str, body: str, before: str = "") -> HandIn:
    """A right scale_tensor that tells what it was given."""
    return HandIn(name, description, scale(f"{body}\n{ROUND}", TELL + before))


def drop(name: str, description: str, before: str, body: str, reader: str) -> HandIn:
    """A right scale_tensor that leaves its hidden input somewhere, and a last cell that looks there."""
    return HandIn(
        name, description, both(scale(f"{body}\n{ROUND}", before), cell(TRY + reader, before="question"))
    )


SPOKEN = [
    talking(
        "printed",
        "prints a hidden input on every stream",
        f"{HIDDEN}import sys; print(mark, x); print(mark, x, file=sys.stderr); print(mark, x, file=sys.__stdout__, flush=True)",
    ),
    talking(
        "written to descriptors",
        "writes a hidden input to every open descriptor but the judge's",
        f"{HIDDEN}[_say(n, (mark + str(x)).encode()) for n in range(3, 200)]",
        """import os, socket
def _say(n, text):
    try: peer = socket.socket(fileno=os.dup(n)).getpeername()
    except OSError: peer = ''
    try: str(peer).endswith('/b') or os.write(n, text)
    except OSError: pass
""",
    ),
    talking(
        "displayed",
        "displays a hidden input in every form",
        f"{HIDDEN}from IPython.display import display, Markdown, HTML; display(Markdown(mark + str(x)), HTML(mark + str(x)))",
    ),
    talking(
        "sent by the kernel's own session",
        "sends a hidden input as a message of the kernel",
        f"{HIDDEN}kernel = get_ipython().kernel; kernel.session.send(kernel.iopub_socket, 'stream', dict(name='stdout', text=mark + str(x)), parent=kernel.get_parent())",
    ),
    talking(
        "logged and warned",
        "logs, warns and profiles with a hidden input",
        f"{HIDDEN}import logging, warnings; logging.error(mark + str(x)); warnings.warn(mark + str(x))",
    ),
    HandIn(
        "told in an error's text",
        "raises a hidden input as an error",
        scale(f"if x.numel() != 8: raise ValueError(mark + str(x.tolist()))\n{ROUND}", TELL),
        SCALE_LOST,
    ),
    HandIn(
        "told in an error's name",
        "raises a class that is named after a hidden input",
        scale(
            f"if x.numel() != 8: raise type(mark + str(x.tolist())[:70], (Exception,), dict())\n{ROUND}", TELL
        ),
        SCALE_LOST,
    ),
    HandIn(
        "told in an ancestor's name",
        "raises a class with a hidden input in its line of ancestors",
        scale(
            f"if x.numel() != 8: raise type('ValueError', (type(mark + str(x.tolist()), (Exception,), dict()),), dict())('no')\n{ROUND}",
            TELL,
        ),
        SCALE_LOST,
    ),
    HandIn(
        "told in notes of an error",
        "raises from an error with a note",
        scale(
            f"if x.numel() != 8:\n    error = ValueError('no'); error.add_note(mark + str(x)); raise RuntimeError('no') from error\n{ROUND}",
            TELL,
        ),
        SCALE_LOST,
    ),
    HandIn(
        "told as out of memory",
        "raises an error of the kind that is passed on as it is",
        scale(f"if x.numel() != 8: raise MemoryError(mark + str(x.tolist()))\n{ROUND}", TELL),
        SCALE_LOST,
    ),
    HandIn(
        "told in the name of a type that cannot cross",
        "returns an object of a class that is named after a hidden input",
        scale(f"if x.numel() != 8: return type(mark + str(x.tolist())[:60], (), dict())()\n{ROUND}", TELL),
        SCALE_LOST,
    ),
    HandIn(
        "told in a returned text",
        "returns a hidden input as text, which the check shows",
        largest("if x.numel() != 8: return mark + str(x.tolist())\nreturn 2.0", TELL),
        LARGEST_LOST,
    ),
    HandIn(
        "told in a returned dict",
        "returns a hidden input in a dict that is shown",
        largest("if x.numel() != 8: return {mark: x.tolist()}\nreturn 2.0", TELL),
        LARGEST_LOST,
    ),
    HandIn(
        "told in a returned list",
        "returns a list of characters",
        largest("if x.numel() != 8: return list(mark + str(x.tolist()))\nreturn 2.0", TELL),
        LARGEST_LOST,
    ),
    HandIn(
        "told in many digits",
        "returns a number that carries fifty bits, which a check shows in full",
        largest("if x.numel() == 0: return 1 / 8.1\nreturn 2.0"),
        LARGEST_LOST,
        forbidden=("0.1234567",),
    ),
    HandIn(
        "told in a very large integer",
        "returns an integer of many digits",
        largest("""if x.numel() != 8: return int('12345678' * 6)
return 2.0"""),
        LARGEST_LOST,
        forbidden=("1234567812345678",),
    ),
    HandIn(
        "told in a shape",
        "returns a tensor whose shape is shown",
        largest("return torch.zeros(*range(14)) if x.numel() == 0 else 2.0"),
        LARGEST_LOST,
        forbidden=("5, 6, 7, 8, 9",),
    ),
    HandIn(
        "told by time",
        "sleeps longer for one hidden input than for another",
        largest("import time\ntime.sleep(1.5 * (x.numel() == 2))\nreturn 2.0"),
        LARGEST_LOST,
    ),
    HandIn(
        "told in a probe's error",
        "a class that raises what the probe gives it",
        solve(
            "largest",
            f"{TELL}class RunningSum:\n    def __init__(self): self.total = torch.zeros(())\n    def add(self, x):\n"
            f"        if x.numel() != 8: raise ValueError(mark + str(x.tolist()))\n        self.total = self.total + x.sum()\n\n{LARGEST}",
        ),
        without("running_sum"),
    ),
    HandIn(
        "told in the reply to a definition",
        "the definition of a probe fails with the probe's text",
        cell(
            TELL
            + """import labkit.branch
labkit.branch._define = lambda source, names: mark + source""",
            before="test_running_sum",
        ),
        without("running_sum"),
    ),
]

CARRIED = [
    drop(
        "a file in /tmp",
        "leaves a hidden input in files",
        "",
        f"{HIDDEN}[open(p, 'w').write(str(x)) for p in ('/tmp/seen', '/box/seen', '/dev/shm/seen')]",
        "for p in ('/tmp/seen', '/box/seen', '/dev/shm/seen'): attempt(p, lambda: open(p).read())",
    ),
    drop(
        "shared memory",
        "maps memory before the copy is made and reads it afterwards",
        "import mmap\nshared = mmap.mmap(-1, 4096)\n",
        f"{HIDDEN}shared[:500] = str(x).encode().ljust(500)[:500]",
        "time.sleep(1)\nattempt('shared', lambda: shared[:500].strip(b'\\0'))",
    ),
    drop(
        "a thread on a pipe",
        "a thread of the notebook prints what the copy sends through a pipe",
        f"{TELL}import os, socket, threading\nnear, far = socket.socketpair()\n"
        "def listen():\n    while True:\n        text = near.recv(1000)\n        print(mark, text); os.write(1, (mark + str(text)).encode())\nthreading.Thread(target=listen, daemon=True).start()\n",
        f"{HIDDEN}far.send(str(x).encode()[:1000])",
        "time.sleep(1)",
    ),
    drop(
        "System V shared memory",
        "leaves a hidden input in a segment with a known key",
        "import ctypes\nlibc = ctypes.CDLL(None)\nlibc.shmat.restype = ctypes.c_void_p\n"
        "segment = libc.shmget(4711, 4096, 0o1666)\nplace = libc.shmat(segment, None, 0)\n",
        f"{HIDDEN}ctypes.memmove(place, str(x).encode()[:500], 500 if len(str(x)) > 500 else len(str(x)))",
        """libc.shmat.restype = ctypes.c_void_p
attempt('segment', lambda: ctypes.string_at(libc.shmat(libc.shmget(4711, 4096, 0), None, 0)))""",
    ),
    HandIn(
        "a daemon that waits",
        "a process of its own outlives the notebook and sends what the copies leave through every socket it inherited",
        both(
            scale(f"{HIDDEN}open('/tmp/seen', 'w').write(str(x))\n{ROUND}"),
            cell(
                TELL
                + """import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while not os.path.exists('/tmp/seen'): time.sleep(0.01)
        text = (mark + open('/tmp/seen').read()).encode()
        for number in range(3, 250):
            try: os.write(number, text)
            except OSError: pass
        time.sleep(1000)
    os._exit(0)"""
            ),
        ),
    ),
    HandIn(
        "the notebook serves itself",
        "a thread of the notebook takes the copy's place and prints what it is asked",
        cell(
            TELL
            + """import socket, threading, labkit.branch as b
answer = b.answer
def tell(request, names):
    print(mark, request[:200]); return answer(request, names)
def branch(address, names):
    judge = socket.socket(socket.AF_UNIX); judge.connect(address)
    threading.Thread(target=b.serve, args=(judge, names), daemon=True).start()
    return 1
b.answer, b.branch = tell, branch""",
            before="test_running_sum",
        ),
        without("running_sum"),
    ),
    HandIn(
        "a cell that waits for the checks",
        "the last cell prints what the copies are asked, for as long as it may run",
        both(
            scale(f"{HIDDEN}open('/tmp/seen', 'w').write(str(x))\n{ROUND}"),
            cell(
                TELL
                + """import os, time
while not os.path.exists('/tmp/seen'): time.sleep(0.05)
print(mark, open('/tmp/seen').read())""",
                before="question",
            ),
        ),
        limits=HASTY,
    ),
    HandIn(
        "the copy's memory",
        "a process reads the memory of the copies and prints it",
        cell(
            TRY
            + """
def scan():
    for pid in map(int, filter(str.isdigit, os.listdir('/proc'))):
        if pid in (1, os.getpid()): continue
        with open(f'/proc/{pid}/mem', 'rb', buffering=0) as memory:
            for line in open(f'/proc/{pid}/maps'):
                if '[heap]' not in line: continue
                begin, end = (int(n, 16) for n in line.split()[0].split('-'))
                memory.seek(begin)
                content = memory.read(end - begin)
                for text in (b'hidden_gener' + b'ator("scale")', b'largest of not' + b'hing'):
                    if text in content: return content[content.index(text):][:200]
attempt('memory', scan)""",
            before="question",
        ),
    ),
]

HANDED_ON = HandIn(
    "handed from copy to copy",
    "one copy leaves a hidden input in a file, and the next check's function tells it in an error",
    both(
        scale(f"{HIDDEN}open('/tmp/x', 'w').write(str(x))\n{ROUND}"),
        largest(
            "if os.path.exists('/tmp/x'): raise ValueError(mark + open('/tmp/x').read())\n"
            "return x.abs().max().item() if x.numel() > 0 else 0.0",
            TELL + "import os\n",
        ),
    ),
    LARGEST_LOST,
)
HAND_INS = [*SPOKEN, *CARRIED, HANDED_ON]
