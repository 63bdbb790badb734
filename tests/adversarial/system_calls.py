"""Hand-ins that ask the kernel of the machine for more than they may have. The numbers are those of x86-64."""

from __future__ import annotations

from tests.adversarial.handin import TRY, HandIn, cell


def asking(name: str, description: str, source: str) -> HandIn:
    """Attempts of which none may succeed."""
    return HandIn(name, description, cell(TRY + source))


CALLS = {
    "ptrace": ("traces itself and others", "(101, 0, 0, 0, 0), (101, 16, 1, 0, 0), (101, 16902, 1, 0, 0)"),
    "process_vm_readv": ("reads another process's memory", "(310, 1, 0, 0, 0, 0, 0), (311, 1, 0, 0, 0, 0, 0)"),
    "mount": (
        "mounts, unmounts and moves",
        "(165, b'none', b'/tmp', b'tmpfs', 0, None), (165, b'/', b'/tmp', None, 4096 | 16384, None), (166, b'/usr', 2), (155, b'/', b'/tmp'),"
        " (428, -100, b'/', 1), (430, b'tmpfs', 0), (442, -100, b'/', 0, None, 0), (429, -100, b'/', -100, b'/tmp', 0)",
    ),
    "chroot": ("changes its root", "(161, b'/tmp'),"),
    "unshare": (
        "makes each kind of namespace",
        "*[(272, flag) for flag in (0x10000000, 0x20000, 0x20000000, 0x8000000, 0x40000000, 0x4000000, 0x2000000, 0x80)]",
    ),
    "setns": ("enters namespaces of its own and of the first process", "(308, os.open('/proc/self/ns/net', 0), 0), (308, os.open('/proc/self/ns/mnt', 0), 0), (308, os.pidfd_open(1), 0x20000)"),
    "setuid": ("becomes root and other accounts", "(105, 0), (106, 0), (117, 0, 0, 0), (119, 0, 0, 0), (113, 0, 0), (114, 0, 0), (116, 0, None), (105, 1), (105, 200001)"),
    "capset": ("takes rights back", "(126, (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*[0xffffffff] * 6)),"),
    "bpf and perf": ("loads programs into the kernel", "(321, 5, None, 0), (298, None, 0, -1, -1, 0)"),
    "keyctl": ("uses keys of the machine", "(248, b'user', b'zoo', b'x', 1, -2), (250, 0, -3, 0, 0, 0), (249, b'user', b'zoo', None, -2)"),
    "io_uring": ("opens a second way for calls", "(425, 8, (ctypes.c_char * 256)()),"),
    "userfaultfd": ("handles its own page faults", "(323, 0), (323, 1)"),
    "personality": ("turns address randomisation off and old behaviour on", "(135, 0x0040000), (135, 0x0400000)"),
    "open by handle": ("opens files by number", "(303, -100, b'/usr', (ctypes.c_char * 256)(128), ctypes.byref(ctypes.c_int()), 0), (304, -100, (ctypes.c_char * 256)(128), 0)"),
    "the machine's clock and name": ("sets time, name and domain", "(164, None, None), (227, 0, (ctypes.c_long * 2)(0, 0)), (170, b'zoo', 3), (171, b'zoo', 3)"),
    "modules and reboot": ("loads kernel modules and new kernels, reboots", "(175, None, 0, b''), (313, 0, b'', 0), (246, 0, 0, None, 0), (169, 0xfee1dead, 672274793, 0, None)"),
    "devices": ("makes device nodes", "(133, b'/tmp/mem', 0o20666, 257), (259, -100, b'/tmp/sda', 0o60666, 2048), (133, b'/box/null', 0o20666, 259)"),
    "ports and swap": ("opens I/O ports, swaps, accounts", "(172, 3), (173, 0, 1, 1), (167, b'/tmp/x', 0), (163, b'/tmp/x'), (179, 0, None, 0, None), (300, 0, 0)"),
    "kcmp and pidfd_getfd": ("looks at other processes' descriptors", "(312, os.getpid(), 1, 0, 0, 0), (438, os.pidfd_open(1), 0, 0)"),
    "the log of the kernel": ("reads messages of the machine", "(103, 3, (ctypes.c_char * 4096)(), 4096), (103, 10, None, 0)"),
    "limits": (
        "raises its limits and those of others, and its rank",
        "(302, 0, 6, (ctypes.c_ulong * 2)(1 << 20, 1 << 20), None), (302, 1, 7, (ctypes.c_ulong * 2)(9999, 9999), None), (302, 0, 4, (ctypes.c_ulong * 2)(1 << 30, 1 << 30), None),"
        " (302, 0, 1, (ctypes.c_ulong * 2)(1 << 40, 1 << 40), None), (141, 0, 0, -20), (144, 0, 1, (ctypes.c_int * 1)(50)), (251, 1, 0, 0x2000)",
    ),
}  # fmt: skip

FORBIDDEN_CALLS = [
    asking(name, description, f"for number, *arguments in ({calls}):\n    attempt(f'call {{number}}', lambda: call(number, *arguments))")
    for name, (description, calls) in CALLS.items()
]  # fmt: skip

IN_A_CHILD = """
def child(source):
    done = subprocess.run([sys.executable, '-c', source], capture_output=True, text=True, timeout=5)
    return done.stdout.strip()
"""

OTHER_DOORS = [
    asking(
        "calls of the x32 kind",
        "asks with the numbers of another calling convention, which a filter may not know",
        IN_A_CHILD
        + """
source = '''
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for number in (521, 101, 272, 165):
    result = libc.syscall(ctypes.c_long(0x40000000 | number), ctypes.c_long(0), ctypes.c_long(0), ctypes.c_long(0), ctypes.c_long(0))
    if result >= 0: print(number, result)
'''
attempt('x32', lambda: child(source))""",
    ),
    asking(
        "calls of the 32-bit kind",
        "asks through interrupt 0x80, which has other numbers",
        IN_A_CHILD
        + """
source = '''
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
# push rbx; mov eax, edi; xor ebx, ebx; xor ecx, ecx; xor edx, edx; int 0x80; pop rbx; ret
page.write(bytes.fromhex("53" "89f8" "31db" "31c9" "31d2" "cd80" "5b" "c3"))
function = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
for number in (20, 26, 310, 21):
    result = function(number)
    if result >= 0: print(number, result, flush=True)
'''
attempt('int 0x80', lambda: child(source))""",
    ),
    asking(
        "clone with namespaces",
        "makes namespaces with clone and clone3 in place of unshare",
        """
for flag in (0x10000000, 0x20000, 0x20000000, 0x40000000, 0x8000000, 0x4000000, 0x2000000):
    def fork(flag=flag):
        pid = call(56, flag | 17, 0, 0, 0, 0)
        if pid == 'returned 0': os._exit(0)
        return pid
    attempt(f'clone {flag:x}', fork)
def fork3():
    arguments = (ctypes.c_uint64 * 11)(0x10000000, 0, 0, 0, 17)
    pid = call(435, arguments, 88)
    if pid == 'returned 0': os._exit(0)
    return pid
attempt('clone3', fork3)""",
    ),
    asking(
        "sockets of other families",
        "opens sockets that reach out of a network namespace",
        """
for family in [n for n in range(46) if n not in (1, 2, 10, 16)]:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
        attempt(f'socket {family} {kind}', lambda: socket.socket(family, kind))
attempt('raw', lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
attempt('pair', lambda: call(53, 40, 1, 0, (ctypes.c_int * 2)()))
attempt('wide', lambda: call(41, 0x100000028, 1, 0))""",
    ),
    asking(
        "the network",
        "connects to addresses inside and outside the machine, and asks for names",
        """
def connect(address, family=socket.AF_INET):
    s = socket.socket(family); s.settimeout(0.5); s.connect(address); return 'connected'
for address in ('1.1.1.1', '169.254.169.254', '10.0.0.1', '172.17.0.1', '192.168.0.1', '127.0.0.1'):
    for port in (22, 53, 80, 443, 5432, 8000, 8081): attempt(f'{address}:{port}', lambda: connect((address, port)))
attempt('::1', lambda: connect(('::1', 8000, 0, 0), socket.AF_INET6))
attempt('packet', lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('1.1.1.1', 53)))
attempt('name', lambda: socket.getaddrinfo('example.com', 80))
attempt('interfaces', lambda: [name for _, name in socket.if_nameindex() if name != 'lo'])
attempt('metadata', lambda: __import__('urllib.request').request.urlopen('http://169.254.169.254/', timeout=0.5).read())""",
    ),
    asking(
        "sockets of the machine",
        "looks for abstract and named sockets of other programs: D-Bus, Docker, the Hub, systemd",
        """
own = ('/kernel/', '@/tmp/.X')
lines = [line.split()[-1] for line in open('/proc/net/unix').read().splitlines()[1:] if len(line.split()) > 7]
attempt('listed', lambda: [name for name in lines if not name.startswith(own)])
for path in ('/var/run/docker.sock', '/run/docker.sock', '/run/dbus/system_bus_socket', '/run/systemd/private', '/run/user/1000/bus', '/run/containerd/containerd.sock',
             '/tmp/.X11-unix/X0', '/run/postgresql/.s.PGSQL.5432', '/srv/jupyterhub/jupyterhub.sock', '\\0/tmp/.X11-unix/X0', '\\0/tmp/dbus'):
    def connect():
        s = socket.socket(socket.AF_UNIX); s.settimeout(0.5); s.connect(path); return path
    attempt(path, connect)""",
    ),
    asking(
        "a nested sandbox",
        "starts bubblewrap and unshare, in which it would be root",
        """
def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=5)
    return done.returncode == 0 and done.stdout
attempt('bwrap', lambda: run('bwrap', '--ro-bind', '/', '/', 'id'))
attempt('bwrap user', lambda: run('bwrap', '--unshare-user', '--uid', '0', '--ro-bind', '/', '/', '--proc', '/proc', 'id'))
attempt('unshare', lambda: run('unshare', '-Ur', 'id'))
attempt('nsenter', lambda: run('nsenter', '-t', '1', '-a', 'id'))""",
    ),
    asking(
        "programs with root's rights",
        "runs what is set-user-ID on this machine",
        """
def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=5, stdin=subprocess.DEVNULL)
    return done.returncode == 0 and 'uid=0' in done.stdout and done.stdout
attempt('su', lambda: run('su', '-c', 'id'))
attempt('su -', lambda: run('su', '-', 'root', '-c', 'id'))
attempt('sudo', lambda: run('sudo', '-n', 'id'))
attempt('pkexec', lambda: run('pkexec', 'id'))
attempt('mount', lambda: subprocess.run(['mount', '-t', 'tmpfs', 'none', '/tmp'], capture_output=True, timeout=5).returncode == 0)
attempt('passwd', lambda: subprocess.run(['passwd', '-d', 'root'], capture_output=True, timeout=5).returncode == 0)
attempt('newuidmap', lambda: subprocess.run(['newuidmap', str(os.getpid()), '0', '0', '1'], capture_output=True, timeout=5).returncode == 0)
def own():
    open('/tmp/own', 'w').write('#!/bin/sh\\nid -u\\n'); os.chmod('/tmp/own', 0o6755)
    return subprocess.run(['/tmp/own'], capture_output=True, text=True).stdout.strip() == '0'
attempt('own', own)""",
    ),
    asking(
        "the first process",
        "kills, stops, renames and reads the process that supervises it",
        """
import signal
for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGSEGV, signal.SIGINT):
    try: os.kill(1, number)
    except OSError: pass
time.sleep(0.2)
for name in ('mem', 'environ', 'maps', 'cwd', 'root', 'exe', 'fd', 'stack', 'syscall', 'auxv', 'ns/mnt', 'map_files', 'io', 'personality', 'pagemap'):
    def look():
        path = f'/proc/1/{name}'
        if name in ('cwd', 'root', 'exe', 'ns/mnt'): return os.readlink(path)
        return os.listdir(path) if os.path.isdir(path) else open(path, 'rb').read(100)
    attempt(name, look)
attempt('write', lambda: open('/proc/1/mem', 'r+b').write(b'x'))
attempt('oom', lambda: open('/proc/1/oom_score_adj', 'w').write('1000'))
attempt('through root', lambda: os.listdir('/proc/1/root/'))""",
    ),
]

HAND_INS = FORBIDDEN_CALLS + OTHER_DOORS
