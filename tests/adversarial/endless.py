"""Hand-ins that print, show and compute without end."""

from __future__ import annotations

from tests.adversarial.bombs import bomb
from tests.adversarial.handin import HASTY, LARGEST, SUM, WRONG_LARGEST, HandIn, scale, solve, without
from tests.conftest import LIMITS

OUTPUT = [
    bomb(
        "two hundred thousand lines",
        "prints line after line",
        "for _ in range(200_000): print('x' * 100)",
        LIMITS,
    ),
    bomb("one line of a hundred megabytes", "prints once", "print('x' * 100_000_000)", LIMITS),
    bomb(
        "output past Python",
        "writes to the descriptors themselves",
        "for _ in range(2000): os.write(1, b'x' * 10_000); os.write(2, b'y' * 10_000)",
        LIMITS,
    ),
    bomb(
        "ten thousand displays",
        "displays, updates and clears",
        """from IPython.display import display, clear_output, HTML
for n in range(3000): display(HTML('<b>x</b>')); clear_output()""",
        LIMITS,
    ),
    bomb(
        "pictures of fifty megabytes",
        "displays a picture that is too large",
        """from IPython.display import display
display({'image/png': 'iVBORw0KGgo' + 'A' * 50_000_000}, raw=True)""",
        LIMITS,
    ),
    bomb(
        "an error of fifty megabytes",
        "raises an error with a huge text and trace",
        """def deep(n): return deep(n - 1) if n else 1 / 0
try: deep(900)
except ZeroDivisionError as error: raise ValueError('x' * 50_000_000) from error""",
        LIMITS,
    ),
    bomb(
        "a representation without end",
        "shows an object that never finishes showing itself",
        "class R:\n    def __repr__(self):\n        while True: pass\nR()",
    ),
    bomb(
        "an object that shows itself",
        "a list in itself, and a mapping that makes new keys",
        """import collections
kept = []; kept.append(kept)
class M(collections.UserDict):
    def __repr__(self): return repr([M(), self.__class__()])
print(kept)
M()""",
        LIMITS,
    ),
]

TIME = [
    bomb("sleep for ever", "waits", "time.sleep(10_000)"),
    bomb(
        "signals ignored",
        "ignores and blocks every signal, then spins",
        """for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
while True: pass""",
    ),
    bomb(
        "errors swallowed",
        "catches whatever interrupts it",
        """while True:
    try:
        while True: pass
    except BaseException: pass""",
    ),
    bomb(
        "a regular expression",
        "backtracks for longer than the universe is old",
        "import re\nre.match('(a+)+$', 'a' * 60 + 'b')",
    ),
    bomb(
        "one long instruction",
        "a power that never ends, which no signal interrupts",
        "len(str(10 ** 10 ** 9))",
    ),
    bomb(
        "recursion without end",
        "calls itself until the stack ends",
        "sys.setrecursionlimit(10 ** 9)\ndef down(): return down()\ndown()",
    ),
    bomb(
        "recursion in C",
        "nests objects until freeing them ends the stack",
        """kept = ()
for _ in range(3_000_000): kept = (kept,)
import itertools
chain = iter(())
for _ in range(1_000_000): chain = itertools.chain(chain)
list(chain)""",
    ),
    bomb(
        "an import without end",
        "imports a module of fifty megabytes",
        "with open('/box/endless.py', 'w') as file:\n    for n in range(400_000): file.write(f'x{n} = [{n}]\\n')\nsys.path.insert(0, '/box')\nimport endless",
    ),
    bomb("a parser's nightmare", "evaluates a million signs", "eval('-' * 1_000_000 + '1')"),
    bomb("a deadlock", "takes a lock twice", "lock = threading.Lock()\nwith lock:\n    with lock: pass"),
    bomb(
        "a thread that is waited for",
        "a thread that is no daemon waits for ever",
        "threading.Thread(target=threading.Event().wait).start()",
        LIMITS,
    ),
    bomb(
        "an exit that takes for ever",
        "waits in the hooks that run at exit",
        """import atexit
atexit.register(time.sleep, 1000)
signal.signal(signal.SIGTERM, lambda *_: time.sleep(1000))""",
        LIMITS,
    ),
    HandIn(
        "a shown cell without end",
        "a function that a shown cell calls never answers",
        scale("while True: pass"),
        without("scale_tensor"),
        HASTY,
    ),
    HandIn(
        "an import in a solution without end",
        "the cell of a solution never ends",
        solve("largest", SUM + WRONG_LARGEST + "while True: pass\n" + LARGEST),
        without("largest", "running_sum"),
        HASTY,
    ),
]

HAND_INS = OUTPUT + TIME
