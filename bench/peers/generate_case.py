"""Generation: the agents in turn, or one straggler of eight rows."""

import models
import policy


def make(request):
    return ragged(request) if request["case"] == "ragged" else in_turn(request)


def in_turn(request):
    team = [models.load(request["root"], request["model"], agent).eval() for agent in range(request["agents"])]
    prompt = policy.prompt_row(request)

    def run():
        for model in team:
            policy.sample(model, prompt, request["groupSize"], request["newTokens"])

    return run


def ragged(request):
    import torch
    from transformers import StoppingCriteria, StoppingCriteriaList

    model = models.load(request["root"], request["model"], 0).eval()
    prompt = policy.prompt_row(request)
    lengths = torch.tensor(request["lengths"])

    class ByRow(StoppingCriteria):
        def __call__(self, input_ids, scores, **_):
            return lengths <= input_ids.shape[1] - prompt.shape[1]

    def run():
        criteria = StoppingCriteriaList([ByRow()])
        policy.sample(model, prompt, len(lengths), int(lengths.max()), stopping_criteria=criteria)

    return run
