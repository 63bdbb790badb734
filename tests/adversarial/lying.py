"""Hand-ins that return what is not what it seems, or raise what is not an error."""

from __future__ import annotations

from tests.adversarial.handin import HASTY, HandIn, largest, scale, without

SCALE_LOST = without("scale_tensor")
LARGEST_LOST = without("largest")

TENSORS: dict[str, tuple[str, str, str]] = {
    "an object that equals everything": (
        "has every attribute, is callable, compares true",
        "class Yes:\n    shape = (8,)\n    __eq__ = __le__ = __bool__ = lambda s, *o: True\n"
        "    __getattr__ = lambda s, n: Yes()\n    __call__ = __getitem__ = lambda s, *a, **k: Yes()\n",
        "return Yes()",
    ),
    "a tensor with its own comparisons": (
        "__torch_function__ answers True to every comparison",
        "class L(torch.Tensor):\n    @classmethod\n    def __torch_function__(cls, f, t, a=(), k=None):\n"
        "        if f.__name__ in ('allclose', 'equal', 'eq', '__eq__', 'all', 'isfinite', 'le'): return True\n"
        "        return super().__torch_function__(f, t, a, k or {})\n",
        "return (x * 0).as_subclass(L)",
    ),
    "a tensor of another shape than it says": (
        "its shape, size and dtype are properties",
        "class L(torch.Tensor):\n    shape = property(lambda s: torch.Size((8,)))\n    dtype = torch.float32\n"
        "    def size(self, *a): return 8\n    def __eq__(self, other): return True\n    __hash__ = None\n",
        "return torch.zeros(3).as_subclass(L)",
    ),
    "a tensor whose copies differ": (
        "detach, to and clone return something else",
        "class L(torch.Tensor):\n    def detach(self): return self\n    def to(self, *a, **k): return self\n"
        "    def contiguous(self): return self\n    def clone(self): return 'not a tensor'\n",
        "return (x * 0).as_subclass(L)",
    ),
    "an array with its own comparisons": (
        "a subclass of ndarray that equals everything",
        "import numpy\nclass A(numpy.ndarray):\n    __eq__ = __le__ = lambda s, o: True\n"
        "    def __array_ufunc__(self, *a, **k): return True\n    def __array__(self, *a, **k): return numpy.zeros(8)\n",
        "return numpy.zeros(8).view(A)",
    ),
    "a scalar that is never a number": (
        "says it comes from numpy and returns itself for ever",
        "class N:\n    ndim = 0\n    def item(self): return self\nN.__module__ = 'numpy'\n",
        "return N()",
    ),
    "an array that is none": (
        "says it comes from numpy and hands out strings",
        "class N:\n    ndim = 1\n    class dtype: kind, itemsize = 'f', 4\n    def copy(self): return ['x'] * 8\n"
        "N.__module__ = 'numpy'\n",
        "return N()",
    ),
    "a dict without end": (
        "a subclass of dict whose items never end",
        "import itertools\nclass D(dict):\n    def items(self): return ((n, n) for n in itertools.count())\n",
        "return D()",
    ),
    "a list without end": (
        "a subclass of list whose iteration never ends",
        "import itertools\nclass E(list):\n    def __iter__(self): return itertools.count()\n",
        "return E()",
    ),
    "a text that is none": (
        "a subclass of str that returns itself as an object",
        "class S(str):\n    def __str__(self): return 5\n    def __eq__(self, other): return True\n    __hash__ = str.__hash__\n",
        "return S('x')",
    ),
    "a list that contains itself": ("nests for ever", "", "v = []\nv.append(v)\nreturn v"),
    "a tensor of a petabyte": (
        "an expanded view that is large only when it is copied",
        "",
        "return torch.zeros(1).expand(1 << 48)",
    ),
    "a sparse tensor": ("a layout that cannot cross", "", "return torch.round(x * factor).to_sparse()"),
    "a tensor without data": ("a tensor on the meta device", "", "return torch.zeros(8, device='meta')"),
    "a complex tensor": (
        "a type that cannot cross",
        "",
        "return torch.round(x * factor).to(torch.complex64)",
    ),
    "a function": ("returns itself", "", "return scale_tensor"),
    "a module": ("returns a module", "", "return torch.nn.Linear(1, 1)"),
    "a pickle": ("bytes that would run code", "import pickle, os\n", "return pickle.dumps(x)"),
    "a generator": ("yields what it should return", "", "yield torch.round(x * factor)"),
    "a thousand lists": ("nested a thousand deep", "", "v = x\nfor _ in range(1000): v = [v]\nreturn v"),
    "a dict with odd keys": (
        "keys that cannot be keys again",
        "",
        "return {(1, (2,)): x, None: factor, 1.5: x}",
    ),
    "half a surrogate": ("a text that no file can hold", "", "return '\\ud800' * 100"),
    "not written": ("raises what an unwritten slot raises", "", "raise NotImplementedError"),
}

NUMBERS: dict[str, tuple[str, str, str]] = {
    "NaN": ("compares false with everything", "", "return float('nan')"),
    "infinity": ("is larger than every limit", "", "return float('inf')"),
    "True": ("is no number", "", "return True"),
    "a text of a number": ("looks like the number", "", "return '9.0' if x.numel() == 2 else 2.0"),
    "a number that will not be one": (
        "a subclass of float whose conversion fails",
        "class F(float):\n    def __float__(self): raise ValueError('no')\n    def hex(self): return '0x9p0'\n",
        "return F(2.0)",
    ),
    "an integer of a million digits": ("takes long to read as text", "", "return 10 ** 1_000_000"),
    "a number that takes for ever": (
        "a subclass of int whose conversion never ends",
        "class I(int):\n    def __int__(self):\n        while True: pass\n",
        "return I(2)",
    ),
}

ERRORS: dict[str, tuple[str, str, str]] = {
    "an assertion without a word": ("raises AssertionError", "", "raise AssertionError"),
    "a way out": ("raises SystemExit(0)", "", "raise SystemExit(0)"),
    "an interrupt": ("raises KeyboardInterrupt", "", "raise KeyboardInterrupt"),
    "the grader's own errors": (
        "raises classes with the names of the grader's own",
        "class GraderFault(BaseException): pass\nclass KernelLost(GraderFault): pass\n",
        "raise KernelLost('grader_fault')",
    ),
    "an error that cannot be shown": (
        "its text raises again",
        "class E(Exception):\n    def __str__(self): raise self\n",
        "raise E()",
    ),
    "an error that is shown for ever": (
        "its text never ends",
        "class E(Exception):\n    def __str__(self):\n        while True: pass\n",
        "raise E()",
    ),
    "an error of a hundred megabytes": ("a huge message", "", "raise ValueError('x' * 100_000_000)"),
    "an error with a thousand ancestors": (
        "a class with very many bases and very long names",
        "E = Exception\nfor n in range(500): E = type('E' * 10_000, (E,), {})\n",
        "raise E('deep')",
    ),
    "an exit in a call": ("ends its process when asked", "import os\n", "os._exit(0)"),
    "a crash in a call": ("writes to address nought", "import ctypes\n", "ctypes.string_at(0)"),
    "a loop in a call": ("never answers", "", "while True: pass"),
    "a recursion in a call": ("calls itself without end", "", "return largest(x)"),
}

SLOW = {"a number that takes for ever", "an error that is shown for ever", "a loop in a call"}

HAND_INS = [
    HandIn(name, description, scale(body, before), SCALE_LOST)
    for name, (description, before, body) in TENSORS.items()
] + [
    HandIn(name, description, largest(body, before), LARGEST_LOST, limits)
    for name, (description, before, body) in {**NUMBERS, **ERRORS}.items()
    for limits in [HASTY] * (name in SLOW) or [HandIn.limits]
]
