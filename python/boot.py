"""First code of a sandbox worker, given to the interpreter with `-c`: takes the other modules from standard input.

Sources come over the pipe because the sandboxed user may not be able to read the folder this package lies in.
"""
import sys

sys.path[:] = [entry for entry in sys.path if entry]


def boot():
    import json
    import os
    import types

    def exactly(count):
        data = b""
        while len(data) < count:
            piece = os.read(0, count - len(data))
            if not piece:
                sys.exit(0)
            data += piece
        return data

    start = json.loads(exactly(int.from_bytes(exactly(4), "big")))
    for name, source in start["modules"]:
        module = types.ModuleType(name)
        sys.modules[name] = module
        exec(compile(source, f"<magrpo>/{name}.py", "exec"), module.__dict__)
    sys.modules["worker"].main(start["config"])


boot()
