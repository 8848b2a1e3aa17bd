"""What correctness is judged by, written to files: greedy tokens, log-probs, the gradient and the weights after three updates."""

import json
import os

import torch
from safetensors.torch import save_file

import models
import policy


def write(request):
    """Of every agent the tokens and log-probs; of the first, with `trains`, the gradient and three updates."""
    folder = request["folder"]
    os.makedirs(folder, exist_ok=True)
    prompt, rows = policy.prompt_row(request), policy.full_rows(request)
    tokens, scores = [], []
    for agent in range(request["agents"]):
        model, trained = policy_of(request, agent)
        model.eval()
        tokens.append(policy.greedy(model, prompt, request["newTokens"]))
        with torch.no_grad():
            old = policy.log_probs(model, rows, request["newTokens"])
        scores.append(old.tolist())
        if agent == 0 and request["trains"]:
            train(request, model.train(), trained, rows, old)
    with open(os.path.join(folder, "outputs.json"), "w") as file:
        json.dump({"tokens": tokens, "logProbs": scores}, file)


def policy_of(request, agent):
    """A model and its trainable tensors by the names they are saved under."""
    if request["adapters"]:
        model = models.load(request["root"], request["model"], 0)
        return model, models.add_adapter(model, request["root"], request["model"], agent)
    model = models.load(request["root"], request["model"], agent)
    return model, dict(model.named_parameters())


def train(request, model, trained, rows, old):
    optimizer = torch.optim.AdamW(trained.values(), lr=request["learningRate"])
    advantages = torch.tensor(request["advantages"])
    for update in range(3):
        policy.update_batched(model, optimizer, rows, len(request["promptIds"]), advantages, old)
        if update == 0:
            save(request, "gradients", {name: tensor.grad for name, tensor in trained.items()})
    save(request, "weights", trained)


def save(request, name, tensors):
    tensors = {key: tensor.detach().contiguous() for key, tensor in tensors.items()}
    save_file(tensors, os.path.join(request["folder"], f"{name}.safetensors"))
