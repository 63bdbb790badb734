"""Hand-ins whose copies send messages that no encoder makes. The first check is lied to, the others get honest answers."""

from __future__ import annotations

from tests.adversarial.handin import HASTY, HandIn, cell, largest, without

TOOLS = """
import base64, json
def pack(tree, body=b''):
    tree = tree if isinstance(tree, bytes) else json.dumps(tree).encode()
    return base64.b64encode(len(tree).to_bytes(8, 'little') + tree + body).decode()
def block(header, data=b'', length=None):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(header) if length is None else length).to_bytes(8, 'little') + header + data
def value(node): return {'list': [{'plain': 'value'}, node]}
def tensor(header, data=b'', length=None): return pack(value({'tensor': 't0'}), block(header, data, length))
def entry(dtype='F32', shape=(8,), offsets=(0, 32)): return {'t0': {'dtype': dtype, 'shape': shape, 'data_offsets': offsets}}
nought = bytes(32)
"""


def forged(name: str, description: str, reply: str, nightly: bool = False) -> HandIn:
    """Every call of scale_tensor is answered with `reply`, an expression over the tools above."""
    source = f"""{TOOLS}
import labkit.branch as b
honest = b.answer
def answer(request, names):
    if 'largest' in names: return honest(request, names)
    return {reply}
b.answer = answer"""
    return HandIn(name, description, cell(source), without("scale_tensor"), HASTY, nightly=nightly)


MESSAGES = [
    forged("not base64", "characters of no base64", "'<script>' * 10"),
    forged("base64 cut short", "padding that does not fit", "'AAAAA'"),
    forged("an empty message", "nothing at all", "''"),
    forged("a length beyond the end", "the tree is longer than the message", "base64.b64encode((1 << 62).to_bytes(8, 'little') + b'{}').decode()"),
    forged("a tree that is not JSON", "bytes", "pack(b'\\xff\\xfe{')"),
    forged("a tree a million deep", "brackets only", "pack(b'[' * 1_000_000)"),
    forged("a tree of ten million lists", "small on the wire, large in memory", "pack(b'[' + b'[],' * 10_000_000 + b'[]]')", nightly=True),
    forged("a tree of a hundred dicts deep", "nested in values", "pack(b'{\"list\":[' * 100 + b']}' * 100)"),
    forged("duplicate keys", "a node with two entries of one name", "pack(b'{\"list\": [{\"plain\": \"value\"}, {\"plain\": 1, \"plain\": 2}]}')"),
    forged("two entries in one node", "a tensor and a number at once", "pack(value({'plain': 1, 'float': '0x1p0'}))"),
    forged("unknown kinds", "a node that asks for an object", "pack(value({'__reduce__': ['os.system', 'id'], }))"),
    forged("a reference", "names a function of the judge", "pack(value({'reference': 'scale_tensor'}))"),
    forged("a bare NaN", "JSON that is none", "pack(b'{\"list\": [{\"plain\": \"value\"}, {\"plain\": NaN}]}')"),
    forged("a NaN in text", "a float that is no number", "pack(value({'float': 'nan'}))"),
    forged("a float of ten million digits", "hexadecimal without end", "pack(value({'float': '0x' + '1' * 10_000_000}))"),
    forged("a float that is none", "a text that float reads and fromhex does not", "pack(value({'float': [1]}))"),
    forged("an integer of a million digits in JSON", "JSON that takes time with its square", "pack(b'{\"list\": [{\"plain\": \"value\"}, {\"plain\": ' + b'9' * 1_000_000 + b'}]}')"),
    forged("a plain list", "a plain value that is none", "pack(value({'plain': [1, 2]}))"),
    forged("a dict of unhashable keys", "lists as keys", "pack(value({'dict': [[{'list': []}, {'plain': 1}]]}))"),
    forged("a dict of three", "entries that are no pairs", "pack(value({'dict': [[{'plain': 1}] * 3]}))"),
    forged("a text where a list should be", "characters as nodes", "pack({'list': 'value'})"),
    forged("no value and no error", "an answer of another length", "pack({'list': [{'plain': 'value'}] * 5})"),
    forged("an answer that is a number", "no list at all", "pack({'plain': 7})"),
    forged("an answer that is a dict", "keys where kinds should be", "pack({'dict': [[{'plain': 'value'}, {'plain': 1}]]})"),
    forged("an error of numbers", "kinds that are none", "pack({'list': [{'plain': 'error'}, {'plain': 5}, {'plain': None}]})"),
    forged("an error of many kinds", "a hundred thousand kinds", "pack({'list': [{'plain': 'error'}, {'list': [{'plain': 'A' * 500}] * 100_000}, {'plain': 'x'}]})"),
    forged("an error that is written as the grader's", "says that nothing was written yet", "pack({'list': [{'plain': 'error'}, {'list': [{'plain': 'AssertionError'}]}, {'plain': ''}]})"),
    forged("an error with surrogates", "kinds and text that no file can hold", "pack(b'{\"list\": [{\"plain\": \"error\"}, {\"list\": [{\"plain\": \"\\\\ud800\"}]}, {\"plain\": \"\\\\udfff\"}]}')"),
    forged("a verdict", "says that it passed", "pack({'dict': [[{'plain': 'points'}, {'plain': 40}], [{'plain': 'outcome'}, {'plain': 'pass'}]]})"),
    forged("a text of fifty megabytes", "a value that is long to show", "pack(value({'plain': 'x' * 50_000_000}))"),
    forged("a list of two hundred thousand", "as many parts as may cross", "pack(value({'list': [{'plain': 1}] * 199_990}))"),
    forged("ragged lists", "lists that make no tensor", "pack(value({'list': [{'list': [{'plain': 1}] * n} for n in range(300)]}))"),
]  # fmt: skip

BLOCKS = [
    forged("a header of eight exabytes", "the tensor block announces too much", "tensor(entry(), nought, length=1 << 63)"),
    forged("a header of nought bytes", "an empty header", "tensor(b'', nought)"),
    forged("a header that is not JSON", "bytes", "tensor(b'{\"t0\":', nought)"),
    forged("a header that is a list", "no names", "tensor([entry()], nought)"),
    forged("a header with metadata", "text beside tensors", "tensor({**entry(), '__metadata__': {'points': '40'}}, nought)"),
    forged("an unknown type", "a dtype that may not cross", "tensor(entry('F8_E4M3', (32,)), nought)"),
    forged("a shape that overflows", "a product of sizes beyond 64 bits that comes out as 32 bytes", "tensor(entry(shape=(1 << 32, 1 << 32, 1 << 3)), nought)"),
    forged("a shape of negative sizes", "two of them make a positive product", "tensor(entry(shape=(-2, -4)), nought)"),
    forged("a shape of true and false", "truth where sizes should be", "tensor(entry(shape=(True, 8)), nought)"),
    forged("a shape of fractions", "sizes that are no integers", "tensor(entry(shape=(8.0,)), nought)"),
    forged("a shape of a thousand dimensions", "more than torch can hold", "tensor(entry(shape=(1,) * 1000, offsets=(0, 4)), nought)"),
    forged("a shape of nought and everything", "no bytes, but a size beyond all memory", "tensor(entry(shape=(0, 1 << 62, 1 << 62), offsets=(0, 0)))"),
    forged("offsets beyond the end", "reads what lies behind the message", "tensor(entry(shape=(1 << 20,), offsets=(0, 1 << 22)), nought)"),
    forged("offsets before the beginning", "reads what lies before the message", "tensor(entry(offsets=(-32, 0)), nought)"),
    forged("offsets that overlap", "two tensors share their bytes", "tensor({**entry(), 't1': entry()['t0']}, nought)"),
    forged("offsets with a hole", "bytes that no tensor has", "tensor(entry(offsets=(32, 64)), nought * 2)"),
    forged("a header with one name twice", "the second entry replaces the first", "tensor(b'{\"t0\": {\"dtype\": \"F32\", \"shape\": [8], \"data_offsets\": [0, 32]}, \"t0\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0, 32]}}', nought)"),
    forged("a tensor that is missing", "the tree names what the block has not", "pack(value({'tensor': 't9'}), block(entry(), nought))"),
    forged("one tensor a hundred times", "the tree names one tensor again and again", "pack({'list': [{'plain': 'value'}, {'list': [{'tensor': 't0'}] * 100}]}, block(entry(), nought))"),
    forged("a tensor named by a list", "a name that is none", "pack(value({'tensor': ['t0']}), block(entry(), nought))"),
    forged("ten thousand tensors", "a header of a megabyte", "pack(value({'tensor': 't0'}), block({f't{n}': {'dtype': 'F32', 'shape': [0], 'data_offsets': [0, 0]} for n in range(10_000)}))"),
    forged("a tensor of NaN", "bytes that are no numbers", "tensor(entry(), b'\\xff' * 32)"),
    forged("truth that is neither", "bytes in a bool tensor that are neither 0 nor 1", "tensor(entry('BOOL', (32,)), b'\\x7f' * 32)"),
]  # fmt: skip

SLOW = [
    forged("keys with one hash", "a dict whose keys collide, which takes time that grows with its square", "pack(value({'dict': [[{'plain': n * (2**61 - 1)}, {'plain': 0}] for n in range(15_000)]}))"),
    HandIn("a hundred megabytes", "a tensor larger than may cross", largest("return torch.zeros(25_000_000)"), without("largest")),
]  # fmt: skip

HAND_INS = MESSAGES + BLOCKS + SLOW
