"""The models and adapters of the benchmark: written once, then read by both sides."""

import json
import os

import torch

PROJECTIONS = {
    "self_attn": ("q_proj", "k_proj", "v_proj", "o_proj"),
    "mlp": ("gate_proj", "up_proj", "down_proj"),
}


def model_folder(root, name, agent):
    return os.path.join(root, f"{name}-{agent}")


def adapter_folder(root, name, agent):
    return os.path.join(root, f"{name}-adapter-{agent}")


def prepare(request):
    """Writes what is missing: one model per agent with random weights, and one random adapter per agent for the first model."""
    root, name, shape = request["root"], request["model"], request["shape"]
    for agent in range(request["agents"]):
        folder = model_folder(root, name, agent)
        if not os.path.exists(os.path.join(folder, "done")):
            write_model(folder, shape, seed=agent)
        folder = adapter_folder(root, name, agent)
        if not os.path.exists(os.path.join(folder, "done")):
            write_adapter(folder, shape, request["rank"], seed=100 + agent)


def write_model(folder, shape, seed):
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=shape["vocab"],
        hidden_size=shape["hidden"],
        intermediate_size=shape["mlp"],
        num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"],
        num_key_value_heads=shape["kvHeads"],
        head_dim=shape["headDim"],
        tie_word_embeddings=True,
        max_position_embeddings=4096,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)
    finish(folder)


def write_adapter(folder, shape, rank, seed):
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    tensors = {}
    for name, (inputs, outputs) in projections(shape).items():
        prefix = f"base_model.model.{name}"
        # Neither matrix is zero, so that the adapter changes what is computed.
        tensors[f"{prefix}.lora_A.weight"] = torch.randn(rank, inputs) * 0.02
        tensors[f"{prefix}.lora_B.weight"] = torch.randn(outputs, rank) * 0.02
    os.makedirs(folder, exist_ok=True)
    save_file(tensors, os.path.join(folder, "adapter_model.safetensors"))
    targets = [name for names in PROJECTIONS.values() for name in names]
    with open(os.path.join(folder, "adapter_config.json"), "w") as file:
        json.dump({"peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank, "target_modules": targets, "bias": "none"}, file)
    finish(folder)


def projections(shape):
    """Inputs and outputs of each projection by its module's name."""
    hidden, query, key = shape["hidden"], shape["heads"] * shape["headDim"], shape["kvHeads"] * shape["headDim"]
    sizes = {
        "q_proj": (hidden, query),
        "k_proj": (hidden, key),
        "v_proj": (hidden, key),
        "o_proj": (query, hidden),
        "gate_proj": (hidden, shape["mlp"]),
        "up_proj": (hidden, shape["mlp"]),
        "down_proj": (shape["mlp"], hidden),
    }
    return {
        f"model.layers.{layer}.{block}.{name}": sizes[name]
        for layer in range(shape["layers"])
        for block, names in PROJECTIONS.items()
        for name in names
    }


def finish(folder):
    with open(os.path.join(folder, "done"), "w"):
        pass


def load(root, name, agent):
    """A model in float32 that never ends a completion by itself, so that both sides do equal work."""
    from transformers import Qwen3ForCausalLM

    model = Qwen3ForCausalLM.from_pretrained(model_folder(root, name, agent), dtype=torch.float32, attn_implementation="sdpa")
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    return model


class LowRank(torch.nn.Module):
    """Parametrization W + scale * B A of a frozen weight."""

    def __init__(self, a, b, scale):
        super().__init__()
        self.a, self.b, self.scale = torch.nn.Parameter(a), torch.nn.Parameter(b), scale

    def forward(self, weight):
        return weight + self.scale * (self.b @ self.a)


def add_adapter(model, root, name, agent):
    """Puts an adapter over a model. Returns its trainable tensors by the names they have in the adapter's file."""
    from safetensors.torch import load_file
    from torch.nn.utils import parametrize

    folder = adapter_folder(root, name, agent)
    with open(os.path.join(folder, "adapter_config.json")) as file:
        config = json.load(file)
    tensors = load_file(os.path.join(folder, "adapter_model.safetensors"))
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    trained = {}
    for key in [key for key in tensors if key.endswith(".lora_A.weight")]:
        prefix = key.removesuffix(".lora_A.weight")
        low_rank = LowRank(tensors[key], tensors[f"{prefix}.lora_B.weight"], config["lora_alpha"] / config["r"])
        module = model.get_submodule(prefix.removeprefix("base_model.model."))
        parametrize.register_parametrization(module, "weight", low_rank)
        trained[key], trained[f"{prefix}.lora_B.weight"] = low_rank.a, low_rank.b
    return trained
