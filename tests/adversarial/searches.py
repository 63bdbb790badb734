"""Hand-ins that look for hidden tests, solutions and secrets in everything that they can read."""

from __future__ import annotations

from tests.adversarial.handin import TRY, HandIn, cell

HAND_INS = [
    HandIn(
        "all of Python's objects",
        "looks through every object for hidden tests",
        cell(
            TRY
            + """import gc
pieces = [p.replace('~', '') for p in ('hidden_gener~ator("scale")', 'largest of not~hing', 'sum of two bat~ches', 'BEGIN HIDDEN ~TESTS')]
def search():
    import warnings; warnings.simplefilter('ignore')
    for thing in gc.get_objects():
        if type(thing) not in (dict, list, tuple) or thing is pieces: continue
        for item in (list(thing.values()) if isinstance(thing, dict) else thing):
            if type(item) is str and len(item) < 100_000 and any(p in item for p in pieces): return item
attempt('objects', search)
import linecache, sys
attempt('linecache', lambda: [v for v in linecache.cache.values() if any(p in ''.join(v[2] if len(v) > 2 else ()) for p in pieces)])"""
        ),
    ),
    HandIn(
        "every readable file",
        "looks through every file outside the system for hidden tests and solutions",
        cell(
            TRY
            + """
pieces = [b'hidden_gener' + b'ator("scale")', b'largest of not' + b'hing', b'reference_' + b'impl', b'held' + b'out']
def search():
    for top in ('/box', '/tmp', '/kernel', '/jobs', '/job', '/room', '/run', '/var', '/home', '/root', '/etc', '/opt', '/srv', '/mnt', '/work', '/dev/shm'):
        for folder, _, files in os.walk(top):
            if folder.startswith((sys.prefix, os.path.realpath(sys.prefix))): continue
            for name in files:
                try: content = open(os.path.join(folder, name), 'rb').read(1_000_000)
                except OSError: continue
                if any(piece in content for piece in pieces): return os.path.join(folder, name)
attempt('files', search)
attempt('import', lambda: __import__('autograder'))
attempt('solution', lambda: __import__('reference_impl'))"""
        ),
    ),
    HandIn(
        "command lines and environments",
        "looks for secrets in every process it can see",
        cell(
            TRY
            + """
def search(name, words):
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try: content = open(f'/proc/{pid}/{name}', 'rb').read()
        except OSError: continue
        found = [word for word in words if word in content.lower()]
        if found: return pid, content[:200]
words = [b'secret', b'token=', b'password', b'api_key', b'heldout', b'reference_impl', b'jupyterhub']
attempt('cmdline', lambda: search('cmdline', words))
attempt('environ', lambda: search('environ', words))
attempt('processes', lambda: [p for p in os.listdir('/proc') if p.isdigit()][4:])"""
        ),
    ),
    HandIn(
        "history and template",
        "looks for what the template left: modules, arguments, descriptors, other jobs",
        cell(
            TRY
            + """
attempt('modules', lambda: [m for m in sys.modules if m.split('.')[0] in ('autograder', 'reference_impl', 'heldout')])
attempt('arguments', lambda: [a for a in sys.orig_argv if 'seccomp' in a and 'judge' in a])
attempt('jobs', lambda: os.listdir('/jobs'))
attempt('descriptors', lambda: [t for n in os.listdir('/proc/self/fd') for t in [os.readlink(f'/proc/self/fd/{n}')] if t.startswith('/') and not t.startswith(('/dev/', '/proc/'))])
attempt('shared maps', lambda: [l for l in open('/proc/self/maps') if l.split()[1].startswith('rw') and l.split()[1].endswith('s')])"""
        ),
    ),
]
