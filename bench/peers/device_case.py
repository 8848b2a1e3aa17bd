"""Decoding and updating one model on a GPU, in float32 or bfloat16. With the device "cpu" the same runs there, as its test."""

import torch

import models
import policy


def make(request):
    device, dtype = torch.device(request["device"]), getattr(torch, request["dtype"])
    model = models.load(request["root"], request["model"], 0).to(device=device, dtype=dtype)
    work = decode(model, request, device) if request["case"] == "device-decode" else update(model, request, device)

    def run():
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return run


def decode(model, request, device):
    prompt = policy.prompt_row(request).to(device)
    model.eval()
    return lambda: policy.sample(model, prompt, request["groupSize"], request["newTokens"])


def update(model, request, device):
    rows, advantages = policy.full_rows(request).to(device), torch.tensor(request["advantages"]).to(device)
    optimizer = policy.optimizer_of(model.train(), request)
    prompt = len(request["promptIds"])
    return lambda: policy.update_batched(model, optimizer, rows, prompt, advantages)
