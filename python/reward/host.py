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


def style_of(function, asked, per):
    """How the function is called; with `auto` its first parameter's name tells."""
    if asked != "auto":
        return asked
    own = "item" if per == "joint" else "batch"
    try:
        first = next(iter(inspect.signature(function).parameters), "")
    except (TypeError, ValueError):
        return own
    if first in ("prompts", "completions", "completion_ids"):
        return "trl"
    return "comlrl" if "completion" in first.lower() else own


def accepts(function, name):
    """Whether a function can be given a keyword argument of this name."""
    parameters = inspect.signature(function).parameters.values()
    return any(one.kind is one.VAR_KEYWORD or (one.name == name and one.kind is not one.POSITIONAL_ONLY) for one in parameters)


def is_asynchronous(function):
    """Whether calls of the function can be awaited together."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))


def call(function, style, joints):
    """What the function returns for joint completions, each with its `item`, `completions` and perhaps `prompts`."""
    items = [joint["item"] for joint in joints]
    written = [[Completion(fields) for fields in joint["completions"]] for joint in joints]
    if style == "item":
        return function(items[0], written[0])
    if style == "batch":
        return function(items, written)
    if style == "comlrl":
        further = {"batch_items": items} if accepts(function, "batch_items") else {}
        return function(*(list(column) for column in zip(*written)), **further)
    columns = trl_columns(items, written, [joint.get("prompts") for joint in joints])
    return function(**{name: values for name, values in columns.items() if accepts(function, name)})


def trl_columns(items, written, prompts):
    """The keyword arguments of TRL: lists with a value for each completion. Those for prompts of messages are messages themselves."""
    agents = len(written[0])
    if agents != 1:
        raise WrongResult(f'the call style "trl" is for one agent, and there are {agents}; use "item", "batch" or "comlrl"')
    fields = [item if isinstance(item, dict) else {} for item in items]
    asked = [own[0] if own else field.get("prompt", "") for own, field in zip(prompts, fields)]
    columns = {name: [field.get(name) for field in fields] for name in fields[0] if name not in ("prompt", "completion")}
    texts = [completions[0] for completions in written]
    said = [[{"role": "assistant", "content": text}] if isinstance(prompt, list) else text for prompt, text in zip(asked, texts)]
    return {**columns, "prompts": asked, "completions": said, "completion_ids": [text.ids for text in texts]}


def rewards_of(result, style, count):
    """The answer for what a call of `count` joint completions returned."""
    if style == "item":
        return [reward_of(result)]
    if not hasattr(result, "__len__") or isinstance(result, (str, bytes, dict)) or len(result) != count:
        rewards = "one reward" if count == 1 else f"{count} rewards"
        raise WrongResult(f"expected a list with {rewards} but it returned {describe(result)}")
    return [reward_of(one) for one in result]


def describe(value):
    """A value in an error message: its text, cut short, and its class."""
    text = repr(value)
    return f"{text[:80]} ({type(value).__name__})"


def number(value, what):
    """A finite float of whatever counts as a number: int, float, bool, or a zero-dimensional array."""
    if isinstance(value, (str, bytes, bytearray, list, tuple, dict)) or not hasattr(value, "__float__"):
        raise WrongResult(f"expected a number as {what} but it returned {describe(value)}")
    value = float(value)
    if value != value or value in (float("inf"), float("-inf")):
        raise WrongResult(f"expected a finite number as {what} but it returned {value}")
    return value


def reward_of(result):
    """The answer for a result: a number, None to abstain, or a dict with `total`, and perhaps `parts` and `reason`."""
    if not isinstance(result, dict):
        return {"total": total_of(result, "the reward"), "parts": {}}
    if "total" not in result or not set(result) <= {"total", "parts", "reason"} or not isinstance(result.get("parts", {}), dict):
        raise WrongResult(f'expected a dict with "total" and, if wanted, a dict "parts" and a text "reason" but it returned {describe(result)}')
    parts = {str(name): number(value, f"part {name!r}") for name, value in result.get("parts", {}).items()}
    reason = result.get("reason")
    if reason is not None and not isinstance(reason, str):
        raise WrongResult(f"expected a text as reason but it returned {describe(reason)}")
    return {"total": total_of(result["total"], "total"), "parts": parts, **({} if reason is None else {"reason": reason})}


def total_of(value, what):
    """A finite number, or None: no verdict."""
    return None if value is None else number(value, what)


def failure(error):
    """What is told of an error: one line, and the traceback without this file's own frames."""
    if isinstance(error, WrongResult):
        return {"error": str(error), "traceback": ""}
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    lines = traceback.format_exception(type(error), error, trace)
    return {"error": "".join(traceback.format_exception_only(type(error), error)).strip(), "traceback": "".join(lines)}


class Host:
    """Answers requests with a function, each as `{"id", "rewards"}` or `{"id", "error", "traceback"}`."""

    def __init__(self, requests, send, function, style):
        self.requests = requests
        self.send = send
        self.function = function
        self.style = style

    def begin(self, line):
        """Calls the function for a request; returns the request and the result, which may still have to be awaited."""
        request = json.loads(line)
        return request, call(self.function, self.style, request["joints"])

    def finish(self, request, result):
        self.send({"id": request["id"], "rewards": rewards_of(result, self.style, len(request["joints"]))})

    def serve(self):
        """One request after the other. Awaitable results share one event loop, so that what they keep open stays usable."""
        loop = None
        for line in self.requests:
            try:
                request, result = self.begin(line)
                if inspect.isawaitable(result):
                    import asyncio  # slow to load, and seldom needed

                    loop = loop or asyncio.new_event_loop()
                    result = loop.run_until_complete(awaited(result))
                self.finish(request, result)
            except Exception as error:
                self.send({"id": json.loads(line)["id"], **failure(error)})

    async def serve_together(self):
        """All requests that are there at once."""
        import asyncio
        from concurrent.futures import ThreadPoolExecutor

        async def answer(line):
            try:
                request, result = self.begin(line)
                self.finish(request, await result)
            except (Exception, asyncio.CancelledError) as error:
                self.send({"id": json.loads(line)["id"], **failure(error)})

        reading = ThreadPoolExecutor(1)  # of its own: the function may use all threads of the loop's
        tasks = set()
        while line := await asyncio.get_running_loop().run_in_executor(reading, self.requests.readline):
            task = asyncio.create_task(answer(line))
            tasks.add(task)  # the loop itself holds tasks weakly
            task.add_done_callback(tasks.discard)


async def awaited(awaitable):
    """An awaitable as a coroutine."""
    return await awaitable


def main(path, name, asked, per):
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

    def send(message):
        sys.stdout.flush()
        sys.stderr.flush()
        os.write(printed, f"{MARK}{message['id']}\n".encode())
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    try:
        function = load(path, name)
        style = style_of(function, asked, per)
    except BaseException as error:
        send({"id": 0, **failure(error)})
        return
    is_together = is_asynchronous(function)
    send({"id": 0, "style": style, "together": is_together})
    host = Host(requests, send, function, style)
    if is_together:
        import asyncio

        asyncio.run(host.serve_together())
    else:
        host.serve()


if __name__ == "__main__":
    main(*sys.argv[1:5])
