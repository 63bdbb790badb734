"""Hand-ins that change what runs around their code: IPython, Python, the libraries, labkit, the values they return."""

from __future__ import annotations

from tests.adversarial.handin import (
    HASTY,
    LARGEST,
    NOTHING,
    SUM,
    WRONG_LARGEST,
    HandIn,
    both,
    cell,
    largest,
    scale,
    solve,
    without,
    wrong,
)

SCALE_LOST = without("scale_tensor")


def hiding(name: str, description: str, source: str) -> HandIn:
    """A wrong scale_tensor behind a cell of tricks."""
    return HandIn(name, description, wrong(cell(source)), SCALE_LOST)


SHELL = [
    hiding(
        "AST transformer",
        "drops every assert and raise in the kernel",
        """import ast
class T(ast.NodeTransformer):
    def visit_Assert(self, node): return ast.copy_location(ast.Pass(), node)
    visit_Raise = visit_Assert
get_ipython().ast_transformers.append(T())""",
    ),
    hiding(
        "input transformers",
        "swallow every cell that mentions a check, before and after other transformations",
        """def swallow(lines): return ['pass\\n'] if any('checks' in line for line in lines) else lines
get_ipython().input_transformers_cleanup.append(swallow)
get_ipython().input_transformers_post.append(swallow)""",
    ),
    hiding(
        "hooks before and after cells",
        "put lying checks and a lying function in place around every cell",
        """def lie(*_):
    space = get_ipython().user_ns
    space['scale_tensor'] = lambda *a: space.get('expected', True)
    for name in dir(space['checks']):
        if name.startswith('assert'): setattr(space['checks'], name, lambda *a, **k: None)
for moment in ('pre_execute', 'pre_run_cell', 'post_execute', 'post_run_cell'):
    get_ipython().events.register(moment, lie)""",
    ),
    hiding(
        "a magic over every cell",
        "turns each later cell into the body of a magic that runs what it likes",
        """def theirs(line, body): get_ipython().ex(body.replace('torch.round', 'torch.ceil'))
get_ipython().register_magic_function(theirs, 'cell', 'theirs')
get_ipython().input_transformers_cleanup.append(lambda lines: ['%%theirs\\n', *lines])
%alias_magic --cell time theirs""",
    ),
    hiding(
        "get_ipython replaced",
        "hides the shell from everything that asks for it",
        """import IPython, IPython.core.getipython as home, builtins
IPython.get_ipython = home.get_ipython = builtins.get_ipython = lambda: None
get_ipython = None""",
    ),
    hiding(
        "display hooks",
        "every value shown or formatted is another one",
        """import sys
sys.displayhook = lambda value: None
formatter = get_ipython().display_formatter
formatter.format = lambda *a, **k: ({'text/plain': "'AAAA'"}, {})
formatter.formatters['text/plain'].for_type(object, lambda value, printer, cycle: printer.text('True'))
sys.excepthook = sys.unraisablehook = lambda *a: None
get_ipython().showtraceback = lambda *a, **k: None
get_ipython().set_custom_exc((BaseException,), lambda *a, **k: None)""",
    ),
    HandIn(
        "run_cell replaced",
        "every later cell is said to have run, and none has",
        cell("""from IPython.core.interactiveshell import ExecutionResult
shell = get_ipython()
def nothing(*a, **k): return ExecutionResult(None)
async def nothing_later(*a, **k): return ExecutionResult(None)
shell.run_cell, shell.run_cell_async = nothing, nothing_later"""),
        NOTHING,
    ),
    hiding(
        "trace function",
        "rewrites what functions see and return, with settrace and setprofile",
        """import sys, threading
def tracer(frame, event, argument):
    if event == 'return' and frame.f_code.co_name in ('answer', 'serve', 'encode', '_define'):
        frame.f_locals['returned'] = frame.f_locals['passed'] = True
    return tracer
sys.settrace(tracer); threading.settrace(tracer); sys.setprofile(tracer); threading.setprofile(tracer)""",
    ),
    HandIn(
        "import hook",
        "serves its own labkit.values to whoever imports it next",
        wrong(
            cell("""import importlib.abc, importlib.machinery, sys
class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        if name.startswith('labkit'): return importlib.machinery.ModuleSpec(name, self)
    def create_module(self, spec): return None
    def exec_module(self, module):
        module.assert_close = module.assert_equal = module.assert_shape = lambda *a, **k: None
sys.meta_path.insert(0, Finder())
for name in ('labkit.checks', 'labkit.runtime'): sys.modules.pop(name, None)
sys.path_hooks.insert(0, lambda path: Finder())""")
        ),
        NOTHING,
    ),
    HandIn(
        "builtins patched",
        "all, any and abs always please, which breaks its own answers too",
        wrong(
            cell("""import builtins
builtins.all = builtins.any = lambda *a: True
builtins.abs = lambda value: 0
builtins.print = lambda *a, **k: None""")
        ),
        NOTHING,
    ),
    hiding(
        "torch and numpy patched",
        "replaces comparisons, rounding and differences",
        """import numpy
yes = lambda *a, **k: True
torch.equal = torch.allclose = torch.isclose = torch.testing.assert_close = numpy.allclose = numpy.array_equal = yes
torch.Tensor.__eq__ = torch.Tensor.__le__ = lambda self, other: torch.ones((), dtype=torch.bool)
torch.Tensor.__sub__ = torch.Tensor.__rsub__ = lambda self, other: torch.zeros(())
torch.round = torch.Tensor.round = lambda value, **k: value * 0 + 1""",
    ),
    hiding(
        "labkit's checks patched",
        "no check fails, every record says it passed, the hidden generator is a known one",
        """from labkit import checks
for name in dir(checks):
    if name.startswith('assert'): setattr(checks, name, lambda *a, **k: None)
checks._judge = lambda *a, **k: None
checks.recorded = lambda: [checks.Check('hidden values', '0', 'at most 0', True)]
checks.hidden_generator = lambda name: torch.Generator().manual_seed(0)
checks.set_hidden_seed(0)""",
    ),
    HandIn(
        "labkit's values patched",
        "encodes every number as the one that is expected of the visible test",
        both(
            solve("largest", SUM + WRONG_LARGEST),
            cell(
                """from labkit import values
node = values._Encoder.node
values._Encoder.node = lambda self, value, depth: node(self, 2.0 if value == 3.0 else value, depth)""",
                before="test_largest",
            ),
        ),
        without("largest"),
    ),
    HandIn(
        "builtins emptied",
        "the notebook has no builtins any more, so that it cannot be copied either",
        cell("__builtins__ = {'print': print}", before="test_running_sum"),
        without("running_sum"),
        HASTY,
        nightly=True,
    ),
    HandIn(
        "shared names rebound",
        "x, checks, probe and torch mean something else in the kernel; the judge has its own",
        cell(
            "x = checks = probe = Tensor = nonfinite_allowed = runtime = None\nsecret = scaled = numbers = 0"
        ),
        without(),
    ),
    hiding(
        "frames and garbage",
        "looks for expected values and test sources in frames and in all objects",
        """import gc, sys
def scale_tensor(x, factor):
    frame = sys._getframe()
    while frame:
        for name, value in list(frame.f_locals.items()) + list(frame.f_globals.items()):
            if name in ('expected', 'scaled', 'want'): return value
        frame = frame.f_back
    for thing in gc.get_objects():
        if isinstance(thing, dict) and 'expected' in thing and isinstance(thing['expected'], torch.Tensor):
            return thing['expected']
    return x * 0
right = scale_tensor
get_ipython().events.register('post_run_cell', lambda *_: globals().update(scale_tensor=right))""",
    ),
]

COPIES = [
    HandIn(
        "os.fork pretends to be the copy",
        "the notebook itself serves the judge in place of a copy",
        cell("import os\nos.fork = lambda: 0", before="test_running_sum"),
        without("running_sum"),
        HASTY,
        nightly=True,
    ),
    HandIn(
        "os.fork pretends to have forked",
        "no copy is ever made",
        cell("import os\nos.fork = lambda: 1", before="test_running_sum"),
        without("running_sum"),
        HASTY,
        nightly=True,
    ),
    HandIn(
        "copies that end at once",
        "a hook after the fork ends the copy",
        cell("import os\nos.register_at_fork(after_in_child=lambda: os._exit(0))", before="test_running_sum"),
        without("running_sum"),
        HASTY,
        nightly=True,
    ),
    HandIn(
        "a fork that takes for ever",
        "a hook before the fork sleeps",
        cell(
            "import os, time\nos.register_at_fork(before=lambda: time.sleep(1000))", before="test_running_sum"
        ),
        without("running_sum"),
        HASTY,
        nightly=True,
    ),
    HandIn(
        "copies killed by a later cell",
        "sends SIGKILL to every process it may",
        cell("import os, signal\nos.kill(-1, signal.SIGKILL)", before="question"),
        NOTHING,
    ),
    HandIn(
        "copies stopped by a later cell",
        "sends SIGSTOP to every process it may",
        cell("import os, signal\nos.kill(-1, signal.SIGSTOP)", before="question"),
        NOTHING,
        HASTY,
        nightly=True,
    ),
    HandIn(
        "a probe defined beforehand",
        "answers the probe with the sum of the visible test",
        cell(
            """import labkit.branch
labkit.branch._define = lambda source, names: names.update(_probe_summed=lambda *a: torch.zeros(())) or ''""",
            before="test_running_sum",
        ),
        without("running_sum"),
    ),
]

HARD_CODED = [
    HandIn(
        "visible values only",
        "right for the visible input, wrong for every other",
        scale("return torch.round(x * factor) if x.numel() == 8 else x * factor"),
        SCALE_LOST,
    ),
    HandIn(
        "a constant",
        "the answer of the visible test as a constant",
        largest("return 2.0"),
        without("largest"),
    ),
    HandIn(
        "a sum that is always nought",
        "the visible sum is nought",
        solve(
            "largest",
            f"class RunningSum:\n    total = torch.zeros(())\n    def add(self, x): pass\n\n{LARGEST}",
        ),
        without("running_sum"),
    ),
    HandIn("the input unchanged", "returns what it was given", scale("return x"), SCALE_LOST),
    HandIn("full precision", "leaves the rounding out", scale("return x * factor"), SCALE_LOST),
    HandIn(
        "the argument emptied",
        "zeroes its argument, so that what is computed from it afterwards is zero too",
        scale("return x.mul_(0)"),
        SCALE_LOST,
    ),
    HandIn(
        "the argument kept",
        "returns the argument and changes it afterwards",
        scale("import threading\nthreading.Timer(0.05, lambda: x.mul_(factor).round_()).start()\nreturn x"),
        SCALE_LOST,
    ),
]

HAND_INS = SHELL + COPIES + HARD_CODED
