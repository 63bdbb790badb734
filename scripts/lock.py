import importlib.metadata as md, re, sys
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name as c
def read(f): return [Requirement(l.split('#')[0].strip()) for l in open(f) if l.split('#')[0].strip()]
def closure(reqs):
    seen={}; todo=[(r.name,set(r.extras)) for r in reqs]
    while todo:
        n,ex=todo.pop(); k=c(n)
        if k in seen and ex<=seen[k][1]: continue
        try: d=md.distribution(n)
        except md.PackageNotFoundError: print('missing',n,file=sys.stderr); continue
        seen[k]=(f"{d.metadata['Name']}=={d.version.split('+')[0]}", seen.get(k,('',set()))[1]|ex)
        for r in d.requires or []:
            r=Requirement(r)
            if r.marker is None or any(r.marker.evaluate({'extra':e}) for e in ({''}|ex)): todo.append((r.name,set(r.extras)))
    return {k:v[0] for k,v in seen.items()}
R='requirements/'
course=closure(read(R+'course.in')); staff=closure(read(R+'staff.in')); test=closure(read(R+'test.in'))
def write(name,d):
    open(R+name,'w').write("# Made by `make lock`; edit the .in file beside it instead.\n"+"".join(v+"\n" for k,v in sorted(d.items())))
write('course.lock',course); write('staff.lock',{k:v for k,v in staff.items() if k not in course}); write('test.lock',{k:v for k,v in test.items() if k not in course and k not in staff})
