"""Reward functions for the tests of how functions are called."""
import asyncio

calls = 0
gathered = []


def conversational(completions, prompts, **kwargs):
    said = [(turn["role"], turn["content"]) for [turn] in completions]
    assert all(role == "assistant" for role, _ in said), said
    return [float(len(text) + len(messages[-1]["content"])) for (_, text), messages in zip(said, prompts)]


def plain(prompts, completions, completion_ids, topic, **kwargs):
    assert kwargs == {}, kwargs
    assert all(isinstance(text, str) for text in completions)
    return [len(prompt) + 10 * len(ids) + 100 * len(name) for prompt, ids, name in zip(prompts, completion_ids, topic)]


def ids(completion_ids, **kwargs):
    return [sum(own) for own in completion_ids]


async def meets(item, completions):
    """Returns once four calls are under way: one after the other they would wait forever."""
    gathered.append(completions[0])
    while len(gathered) < 4:
        await asyncio.sleep(0.01)
    return len(completions[0])


async def fails(item, completions):
    await asyncio.sleep(0)
    if completions[0] == "bad":
        raise ValueError("no reward for bad")
    return 1


class Judge:
    async def __call__(self, completions, **kwargs):
        gathered.append(1)
        while len(gathered) < 2:
            await asyncio.sleep(0.01)
        return [float(len(text)) for text in completions]


judge = Judge()


def ranks(items, completions):
    """The rank of each joint completion's length, and how many there were."""
    assert len(items) == len(completions)
    lengths = [sum(map(len, joint)) for joint in completions]
    return [{"total": sorted(lengths).index(own), "parts": {"of": len(lengths)}} for own in lengths]


def short(items, completions):
    return [1.0]


def trl_ranks(completions, topic, **kwargs):
    return [sorted(completions).index(text) if name == "rain" else None for text, name in zip(completions, topic)]


def pairs(completions1, completions2, batch_items):
    return [len(a) + 10 * len(b) + 100 * len(batch_items) for a, b in zip(completions1, completions2)]


def flaky(item, completions):
    global calls
    calls += 1
    if calls % 3:
        raise ConnectionError(f"call {calls}")
    return calls


def always(item, completions):
    raise ConnectionError("never there")


def never_a_reward(item, completions):
    global calls
    calls += 1
    return f"call {calls}"


def abstains(item, completions):
    return None if completions[0] == "?" else {"total": None, "parts": {"asked": 1}, "reason": "no answer"}


def explains(item, completions):
    return {"total": 1, "reason": "tests failed" if completions[0] == "a" else 3}
