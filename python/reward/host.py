"""Runs a user's reward function: requests come as JSON lines on standard input, answers leave as JSON lines on descriptor 3.

Whatever the function prints goes to standard error, which the parent reads. This is the user's own code: it runs without sandbox.
"""
import importlib.util
import inspect
import json
import os
import signal
import sys
import traceback

ANSWERS = 3
MARK = "\0magrpo:"  # on standard error, after all that a call has printed


class Completion(str):
    """What one agent wrote: its text, with `ids`, `finish` (`stop` or `length`) and `log_prob_sum` beside it."""

    def __new__(cls, fields):
        made = super().__new__(cls, fields["text"])
        made.text = fields["text"]
        made.ids = fields["ids"]
        made.finish = fields["finish"]
        made.log_prob_sum = fields["logProbSum"]
        made._fields = fields
        return made

    def __getitem__(self, key):
        return self._fields[key] if isinstance(key, str) else super().__getitem__(key)


class WrongResult(Exception):
    """The function returned something else than a reward."""


def load(path, name):
    """The function `name` of the file `path`; a dotted name goes through attributes."""
    sys.path.insert(0, os.path.dirname(path))
    module_name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(module_name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    found = module
    for part in name.split("."):
        if not hasattr(found, part):
            known = sorted(key for key, value in vars(module).items() if callable(value) and not key.startswith("_"))
            raise WrongResult(f"it defines no {name}; functions in it: {', '.join(known) or 'none'}")
        found = getattr(found, part)
    if not callable(found):
        raise WrongResult(f"{name} is a {type(found).__name__}, no function")
    return found


def style_of(function, asked):
    """How the function is called; with `auto` its first parameters' names tell."""
    if asked != "auto":
        return asked
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return "item"
    if names[:1] == ["prompts"] or names[:1] == ["completions"]:
        return "trl"
    return "comlrl" if names and "completion" in names[0].lower() else "item"


def accepts(function, name):
    """Whether a function can be given a keyword argument of this name."""
    parameters = inspect.signature(function).parameters.values()
    return any(one.kind is one.VAR_KEYWORD or (one.name == name and one.kind is not one.POSITIONAL_ONLY) for one in parameters)


def call(function, style, item, completions):
    """Calls the function in its style and waits for it if it is asynchronous."""
    if style == "item":
        result = function(item, completions)
    elif style == "comlrl":
        further = {"batch_items": [item]} if accepts(function, "batch_items") else {}
        result = function(*([completion] for completion in completions), **further)
    else:
        if len(completions) != 1:
            raise WrongResult(f'the call style "trl" is for one agent, and there are {len(completions)}; use "item" or "comlrl"')
        columns = {name: [value] for name, value in item.items()} if isinstance(item, dict) else {}
        columns = {"prompts": columns.pop("prompt", [""]), **columns, "completions": [completions[0]]}
        result = function(**{name: value for name, value in columns.items() if accepts(function, name)})
    if inspect.isawaitable(result):
        import asyncio  # slow to load, and seldom needed

        result = asyncio.run(_wait(result))
    if style != "item":
        if not hasattr(result, "__len__") or isinstance(result, (str, bytes, dict)) or len(result) != 1:
            raise WrongResult(f"expected a list with one reward but it returned {describe(result)}")
        result = result[0]
    return result


async def _wait(awaitable):
    return await awaitable


def describe(value):
    """A value in an error message: its text, cut short, and its class."""
    text = repr(value)
    return f"{text[:80]} ({type(value).__name__})"


def number(value, what):
    """A finite float of whatever counts as a number: int, float, bool, or a zero-dimensional array."""
    if isinstance(value, (str, bytes, bytearray, list, tuple, dict)) or value is None or not hasattr(value, "__float__"):
        raise WrongResult(f"expected a number as {what} but it returned {describe(value)}")
    value = float(value)
    if value != value or value in (float("inf"), float("-inf")):
        raise WrongResult(f"expected a finite number as {what} but it returned {value}")
    return value


def reward_of(result):
    """The answer for a result: a number, or a dict with `total` and `parts`."""
    if not isinstance(result, dict):
        return {"total": number(result, "the reward"), "parts": {}}
    if "total" not in result or not set(result) <= {"total", "parts"} or not isinstance(result.get("parts", {}), dict):
        raise WrongResult(f'expected a dict with "total" and, if wanted, a dict "parts" but it returned {describe(result)}')
    parts = {str(name): number(value, f"part {name!r}") for name, value in result.get("parts", {}).items()}
    return {"total": number(result["total"], "total"), "parts": parts}


def failure(error):
    """What is told of an error: one line, and the traceback without this file's own frames."""
    if isinstance(error, WrongResult):
        return {"error": str(error), "traceback": ""}
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    lines = traceback.format_exception(type(error), error, trace)
    return {"error": "".join(traceback.format_exception_only(type(error), error)).strip(), "traceback": "".join(lines)}


def main(path, name, asked):
    """Loads the function and answers requests until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process in its own time
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8", newline="\n")
    answers = os.fdopen(ANSWERS, "w", encoding="utf-8", newline="\n")
    os.set_inheritable(ANSWERS, False)
    # The function may read or print what it likes without getting into the exchange.
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    printed = os.dup(2)  # stays if the function puts something else in place of standard error

    def answer(message):
        sys.stdout.flush()
        sys.stderr.flush()
        os.write(printed, f"{MARK}{message['id']}\n".encode())
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    try:
        function = load(path, name)
        style = style_of(function, asked)
    except BaseException as error:
        answer({"id": 0, **failure(error)})
        return
    answer({"id": 0, "style": style})
    for line in requests:
        request = json.loads(line)
        try:
            completions = [Completion(fields) for fields in request["completions"]]
            answer({"id": request["id"], **reward_of(call(function, style, request["item"], completions))})
        except Exception as error:
            answer({"id": request["id"], **failure(error)})


if __name__ == "__main__":
    main(*sys.argv[1:4])
