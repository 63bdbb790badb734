"""Hand-ins that speak to the judge themselves: on the socket of copies, on the kernel's own channels, as a copy."""

from __future__ import annotations

from tests.adversarial.handin import HASTY, NOTHING, TELL, TRY, HandIn, cell, without

FIRST = {"test_scale_tensor": 0.0, "test_largest": 30.0, "test_running_sum": 20.0}


def serving(name: str, description: str, body: str, nightly: bool = False) -> HandIn:
    """A copy for the first check that speaks as it likes; `body` has the socket as `judge`."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    source = (
        "import labkit.branch as b, time, os\nhonest = b.serve\n"
        f"def serve(judge, names):\n    if 'largest' in names: return honest(judge, names)\n{lines}b.serve = serve"
    )
    return HandIn(name, description, cell(source), FIRST, HASTY, nightly=nightly)


COPY = [
    serving(
        "a reply longer than everything",
        "announces eight exabytes",
        """judge.recv(9)
judge.sendall((2**63 - 1).to_bytes(8, 'little'))
time.sleep(100)""",
    ),
    serving(
        "a reply that is never finished",
        "announces a megabyte and sends half",
        """judge.recv(9)
judge.sendall((1 << 20).to_bytes(8, 'little') + b'A' * (1 << 19))
time.sleep(100)""",
    ),
    serving(
        "a reply in drips",
        "sends one byte after another",
        """judge.recv(9)
judge.sendall((1 << 10).to_bytes(8, 'little'))
while True: judge.sendall(b'A'); time.sleep(0.05)""",
    ),
    serving(
        "a reply without end",
        "sends for as long as somebody reads",
        """judge.recv(9)
judge.sendall((90 << 20).to_bytes(8, 'little'))
while True: judge.sendall(b'A' * (1 << 16))""",
    ),
    serving(
        "a reply of nothing", "announces nought bytes", "while judge.recv(1 << 16): judge.sendall(bytes(8))"
    ),
    serving("a reply in half a header", "sends three bytes and goes", "judge.recv(9)\njudge.sendall(b'abc')"),
    serving(
        "a reply that is not ASCII",
        "sends bytes above 127",
        "while judge.recv(1 << 16): judge.sendall((4).to_bytes(8, 'little') + b'\\xff\\xfe\\x00\\x80')",
    ),
    serving(
        "replies before questions",
        "sends a hundred answers before it is asked",
        """from labkit.values import encode
reply = encode(['value', names['x'] * 0]).encode()
for _ in range(100): judge.sendall(len(reply).to_bytes(8, 'little') + reply)
time.sleep(100)""",
    ),
    serving(
        "two replies for one question",
        "answers each question twice",
        "from labkit.values import encode\nreply = encode(['value', names['x'] * 0]).encode()\n"
        "while judge.recv(1 << 20): judge.sendall((len(reply).to_bytes(8, 'little') + reply) * 2)",
    ),
    serving("a copy that reads nothing", "never takes the question", "time.sleep(1000)"),
    serving("a copy that hangs up", "closes the connection", "judge.close()"),
    serving(
        "a copy that copies itself",
        "forks for every question, and all answer",
        """while judge.recv(1 << 20):
    os.fork(); os.fork(); judge.sendall((4).to_bytes(8, 'little') + b'AAAA')""",
    ),
    serving(
        "a copy that hands its socket on",
        "a daemon goes on answering",
        "if os.fork() == 0: os.setsid(); time.sleep(1000)\nos._exit(0)",
    ),
]

SOCKET = [
    HandIn(
        "connected first",
        "a connection of the student's own stands in the first copy's place, so that each check has the copy before its own",
        cell(
            TELL
            + """import os, socket, time
fake = socket.socket(socket.AF_UNIX)
fake.connect('/kernel/b')
if os.fork() == 0:
    while fake.recv(1 << 20): fake.sendall((4).to_bytes(8, 'little') + b'AAAA')
    os._exit(0)"""
        ),
        without("scale_tensor", "largest"),
    ),
    HandIn(
        "connected a hundred times",
        "fills the queue in which copies wait",
        cell("""import socket
kept = []
try:
    for _ in range(100):
        s = socket.socket(socket.AF_UNIX); s.settimeout(0.05); s.connect('/kernel/b'); kept.append(s)
except OSError as error: print(type(error), len(kept))"""),
        NOTHING,
        HASTY,
        nightly=True,
    ),
    HandIn(
        "the socket replaced",
        "puts a socket of its own in the place of the judge's",
        cell(
            TRY
            + """
def listen():
    os.unlink('/kernel/b')
    s = socket.socket(socket.AF_UNIX); s.bind('/kernel/b'); return 'bound'
attempt('replace', listen)
attempt('rename', lambda: os.rename('/kernel/b', '/kernel/c') or 'renamed')
attempt('chmod', lambda: os.chmod('/kernel/b', 0) or 'changed')
attempt('new', lambda: socket.socket(socket.AF_UNIX).bind('/kernel/new') or 'bound')"""
        ),
    ),
    HandIn(
        "descriptors passed to the judge",
        "sends open files along with a forged answer",
        cell("""import array, os, socket, labkit.branch as b
honest = b.serve
class Judge:
    def __init__(self, judge): self.judge = judge
    def recv(self, size): return self.judge.recv(size)
    def sendall(self, content):
        files = array.array('i', [os.open('/dev/null', os.O_RDONLY)] * 50)
        self.judge.sendmsg([content[:1]], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
        self.judge.sendall(content[1:])
b.serve = lambda judge, names: honest(Judge(judge), names)"""),
    ),
]

FUZZ = """
kernel = get_ipython().kernel
parent = kernel.get_parent()
key, session = kernel.session.key, kernel.session
def frames(header, parent, metadata, content):
    import json
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, parent, metadata, content)]
    return [b'<IDS|MSG>', session.sign(parts), *parts]
def head(kind, **more): return {'msg_id': 'x', 'msg_type': kind, 'session': 's', 'username': 'u', 'date': '2020-01-01T00:00:00Z', 'version': '5.3', **more}
kinds = ['stream', 'display_data', 'execute_result', 'error', 'status', 'execute_reply', 'complete_reply', 'kernel_info_reply', 'object_info_reply',
    'pyout', 'pyerr', 'input_request', 'execute_input', 'clear_output', 'comm_msg', 'update_display_data', 'history_reply', 'inspect_reply', '', 7, None, ['stream'], {}]
contents = [{}, [], None, 7, 'text', b'{', b'[' * 5000 + b']' * 5000, {'text': 5, 'name': []}, {'text': None}, {'text': {'a': [1]}}, {'data': []}, {'data': {'text/plain': 5}},
    {'data': {'text/plain': ['a']}}, {'data': {'text/html': '<script>1</script>', 'image/png': 7}}, {'data': {'text/html': '\\ud800'}}, {'ename': [], 'evalue': {}, 'traceback': 5},
    {'traceback': [[], {}, None, 'x' * 100000] * 40}, {'execution_state': []}, {'execution_state': 'idle', 'status': 'error', 'msg': 5}, {'matches': [''], 'matched_text': 5},
    {'protocol_version': 5, 'language': None, 'language_version': 7}, {'status': 'error', 'ename': '\\ud800', 'evalue': '\\x00' * 10}, {'status': 'ok', 'user_expressions': [], 'payload': 7}]
versions = ['5.3', '4.0', '3', '99', '', 'x.y', None, 5, [5]]
"""
"""Messages of every odd form, signed with the key that the kernel has."""

CHANNELS = [
    HandIn(
        "forged outputs",
        "sends odd messages of every kind on the output channel",
        cell(
            FUZZ
            + """
socket = kernel.iopub_socket
for kind in kinds:
    for content in contents:
        for version in versions[:3]: socket.send_multipart([b'topic', *frames(head(kind, version=version), parent['header'], {}, content)])
for version in versions:
    for parent_header in (parent['header'], [], 7, None, 'x', {'msg_id': []}, {'msg_id': parent['header']['msg_id'], 'date': '2020-99-99T99:99:99Z'}):
        socket.send_multipart([b'topic', *frames(head('stream', version=version), parent_header, [], {'name': 'stdout', 'text': 'x'})])"""
        ),
    ),
    HandIn(
        "forged frames",
        "sends messages with too few, empty, unsigned and endless parts",
        cell(
            FUZZ
            + """
socket = kernel.iopub_socket
for parts in ([b''], [b'topic'], [b'<IDS|MSG>'], [b'<IDS|MSG>', b''], [b'x'] * 200, [b'<IDS|MSG>', b'0' * 64, b'{}', b'{}', b'{}', b'{}'], [b'<IDS|MSG>', session.sign([b'1', b'2', b'3', b'4']), b'1', b'2', b'3', b'4'],
    [b'<IDS|MSG>', session.sign([b'{"date": "9999999-01-01"}', b'{}', b'{}', b'{}']), b'{"date": "9999999-01-01"}', b'{}', b'{}', b'{}'], [b'<IDS|MSG>', session.sign([b'1' * 5000, b'{}', b'{}', b'{}']), b'1' * 5000, b'{}', b'{}', b'{}']):
    socket.send_multipart(parts)
same = frames(head('stream'), parent['header'], {}, {'name': 'stdout', 'text': 'again'})
for _ in range(2000): socket.send_multipart([b'topic', *same])
socket.send_multipart([b'topic', *frames(head('stream'), parent['header'], {}, {'name': 'stdout', 'text': 'x' * 9_000_000})])"""
        ),
    ),
    HandIn(
        "forged replies",
        "answers its own request before it has run, in odd forms, and the next one too",
        cell(
            FUZZ
            + """
stream = kernel.shell_stream if hasattr(kernel, 'shell_stream') else kernel.shell_streams[0]
socket, peers = getattr(stream, 'socket', stream), kernel._parent_ident['shell'] if hasattr(kernel, '_parent_ident') else kernel.get_parent().get('idents', [])
peers = list(peers) if isinstance(peers, (list, tuple)) else [peers]
identity, count = parent['header']['msg_id'].rsplit('_', 1)
for number in (int(count), int(count) + 1, int(count) + 2):
    for content in contents:
        try: socket.send_multipart([*peers, *frames(head('execute_reply'), {**parent['header'], 'msg_id': f'{identity}_{number}'}, {}, content)])
        except Exception as error: print(type(error).__name__, error); break""",
            before="question",
        ),
    ),
    HandIn(
        "a front end of its own",
        "connects to the kernel's channels with the key from its file, and orders it to end",
        cell("""import json, subprocess, sys
subprocess.Popen([sys.executable, '-c', '''
from jupyter_client.blocking import BlockingKernelClient
client = BlockingKernelClient(connection_file="/kernel/c.json")
client.load_connection_file(); client.start_channels()
client.execute("scale_tensor = None"); client.execute("import os; os._exit(0)"); client.shutdown()
import time; time.sleep(5)
'''])
import time; time.sleep(2)"""),
        expected=NOTHING,
        limits=HASTY,
        nightly=True,
    ),
    HandIn(
        "channels closed",
        "closes the kernel's own sockets in the last cell",
        cell(
            """import os
for number in range(3, 200):
    try: os.close(number)
    except OSError: pass""",
            before="question",
        ),
        limits=HASTY,
    ),
    HandIn(
        "a flood on the output channel",
        "a thread prints for as long as the notebook runs",
        cell(
            """import threading, sys
def shout():
    while True: print('x' * 10_000)
for _ in range(3): threading.Thread(target=shout, daemon=True).start()""",
            before="question",
        ),
        without(),
    ),
]

HAND_INS = COPY + SOCKET + CHANNELS
