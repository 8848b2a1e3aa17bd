"""The benchmark's models as GGUF files, for llama.cpp."""

import os

import numpy as np
from safetensors.numpy import load_file

import models

NAMES = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_name(name):
    """llama.cpp's name of a tensor of the checkpoint."""
    if name == "model.embed_tokens.weight":
        return "token_embd.weight"
    if name == "model.norm.weight":
        return "output_norm.weight"
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{NAMES[rest.removesuffix('.weight')]}.weight"


def write(request):
    """Writes the first agent's model in float32 or float16 where it is missing, and returns the file's path."""
    import gguf

    root, name, shape, dtype = request["root"], request["model"], request["shape"], request["dtype"]
    path = os.path.join(root, f"{name}-{dtype}.gguf")
    if os.path.exists(path):
        return path
    writer = gguf.GGUFWriter(path + ".part", "qwen3")
    writer.add_context_length(4096)
    writer.add_embedding_length(shape["hidden"])
    writer.add_block_count(shape["layers"])
    writer.add_feed_forward_length(shape["mlp"])
    writer.add_head_count(shape["heads"])
    writer.add_head_count_kv(shape["kvHeads"])
    writer.add_key_length(shape["headDim"])
    writer.add_value_length(shape["headDim"])
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(shape["vocab"])
    writer.add_file_type(gguf.LlamaFileType.ALL_F32 if dtype == "float32" else gguf.LlamaFileType.MOSTLY_F16)
    # Words that stand for nothing: prompts and completions are ids. llama.cpp looks bytes up, so there has to be one token a byte.
    words = [f"w{i}" for i in range(259, shape["vocab"])]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(["<pad>", "<bos>", "<eos>"] + [f"<0x{byte:02X}>" for byte in range(256)] + words)
    writer.add_token_scores([0.0] * shape["vocab"])
    kinds = gguf.TokenType
    writer.add_token_types([kinds.CONTROL] * 3 + [kinds.BYTE] * 256 + [kinds.NORMAL] * len(words))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    tensors = load_file(os.path.join(models.model_folder(root, name, 0), "model.safetensors"))
    for key, tensor in tensors.items():
        # Norms stay in float32, as in all files of llama.cpp.
        narrow = dtype == "float16" and tensor.ndim == 2
        writer.add_tensor(gguf_name(key), np.ascontiguousarray(tensor, dtype=np.float16 if narrow else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(path + ".part", path)
    return path
