"""The golden models: tiny decoders whose config.json, between them, use every setting that magrpo honours."""

BASE = {
    'attention_dropout': 0.0,
    'bos_token_id': None,
    'eos_token_id': None,
    'hidden_act': 'silu',
    'hidden_size': 64,
    'intermediate_size': 96,
    'max_position_embeddings': 128,
    'num_attention_heads': 4,
    'num_hidden_layers': 2,
    'num_key_value_heads': 2,
    'pad_token_id': None,
    'vocab_size': 128,
}

LLAMA = {**BASE, 'architectures': ['LlamaForCausalLM'], 'model_type': 'llama', 'tie_word_embeddings': False}
MISTRAL = {**BASE, 'architectures': ['MistralForCausalLM'], 'model_type': 'mistral', 'tie_word_embeddings': False}
QWEN2 = {**BASE, 'architectures': ['Qwen2ForCausalLM'], 'model_type': 'qwen2'}
QWEN3 = {**BASE, 'architectures': ['Qwen3ForCausalLM'], 'model_type': 'qwen3', 'head_dim': 32}
GEMMA3 = {**{key: value for key, value in BASE.items() if key != 'hidden_act'}, 'architectures': ['Gemma3ForCausalLM'],
          'model_type': 'gemma3_text', 'hidden_activation': 'gelu_pytorch_tanh', 'head_dim': 32, 'sliding_window': 8,
          'attn_logit_softcapping': None, 'final_logit_softcapping': None}

LLAMA3_ROPE = {'factor': 8.0, 'low_freq_factor': 1.0, 'high_freq_factor': 4.0, 'original_max_position_embeddings': 32}

# name -> config.json. Settings are spelt as published checkpoints spell them: `rope_theta` and `rope_scaling` before
# transformers 5, `rope_parameters` since.
CONFIGS = {
    'llama': {**LLAMA, 'rms_norm_eps': 1e-5, 'rope_theta': 10000.0, 'rope_scaling': None, 'torch_dtype': 'float32'},
    'llama3': {
        **LLAMA,
        'rms_norm_eps': 1e-5,
        'head_dim': 16,
        'rope_theta': 10000.0,
        'rope_scaling': {'rope_type': 'llama3', **LLAMA3_ROPE},
        'torch_dtype': 'float32',
    },
    # a large epsilon, so that it matters; one key-value head; biases everywhere
    'llama-bias': {
        **LLAMA,
        'rms_norm_eps': 1e-2,
        'num_key_value_heads': 1,
        'attention_bias': True,
        'mlp_bias': True,
        'rope_theta': 500000.0,
        'torch_dtype': 'float32',
    },
    'llama-linear': {
        **LLAMA,
        'rms_norm_eps': 1e-5,
        'num_key_value_heads': 4,
        'rope_theta': 10000.0,
        'rope_scaling': {'type': 'linear', 'factor': 4.0},
        'torch_dtype': 'float32',
    },
    'mistral': {
        **MISTRAL,
        'rms_norm_eps': 1e-5,
        'head_dim': 24,
        'rope_theta': 10000.0,
        'sliding_window': None,
        'torch_dtype': 'float32',
    },
    'mistral-window': {
        **MISTRAL,
        'rms_norm_eps': 1e-5,
        'rope_theta': 10000.0,
        'sliding_window': 8,
        'torch_dtype': 'float32',
    },
    'qwen2': {
        **QWEN2,
        'rms_norm_eps': 1e-6,
        'rope_theta': 1000000.0,
        'tie_word_embeddings': True,
        'use_sliding_window': False,
        'sliding_window': 8,
        'max_window_layers': 1,
        'torch_dtype': 'float32',
    },
    # the window holds for the second layer only
    'qwen2-window': {
        **QWEN2,
        'rms_norm_eps': 1e-6,
        'rope_theta': 1000000.0,
        'tie_word_embeddings': False,
        'use_sliding_window': True,
        'sliding_window': 8,
        'max_window_layers': 1,
        'torch_dtype': 'float32',
    },
    'qwen3-tied': {
        **QWEN3,
        'rms_norm_eps': 1e-6,
        'attention_bias': False,
        'rope_parameters': {'rope_theta': 1000000.0, 'rope_type': 'default'},
        'sliding_window': None,
        'use_sliding_window': False,
        'layer_types': ['full_attention', 'full_attention'],
        'max_window_layers': 2,
        'tie_word_embeddings': True,
        'dtype': 'float32',
    },
    # the window holds for the first layer only, said by layer_types; biases on q, k, v and o
    'qwen3-untied': {
        **QWEN3,
        'rms_norm_eps': 1e-6,
        'attention_bias': True,
        'rope_parameters': {'rope_theta': 10000.0, 'rope_type': 'default'},
        'sliding_window': 8,
        'use_sliding_window': True,
        'layer_types': ['sliding_attention', 'full_attention'],
        'max_window_layers': 2,
        'tie_word_embeddings': False,
        'dtype': 'float32',
    },
    # every third layer looks back all the way, with rotary settings of its own; the head is tied, as it is where nothing is said
    'gemma3': {
        **GEMMA3,
        'num_hidden_layers': 3,
        'rms_norm_eps': 1e-6,
        'attention_bias': False,
        'query_pre_attn_scalar': 24,
        'rope_theta': 100000.0,
        'rope_local_base_freq': 1000.0,
        'rope_scaling': {'rope_type': 'linear', 'factor': 4.0},
        'sliding_window_pattern': 3,
        'torch_dtype': 'float32',
    },
    # the window holds for the first layer only; biases on q, k, v and o
    'gemma3-untied': {
        **GEMMA3,
        'num_key_value_heads': 1,
        'rms_norm_eps': 1e-2,
        'attention_bias': True,
        'query_pre_attn_scalar': 32,
        'layer_types': ['sliding_attention', 'full_attention'],
        'rope_parameters': {'full_attention': {'rope_type': 'default', 'rope_theta': 1000000.0},
                            'sliding_attention': {'rope_type': 'default', 'rope_theta': 10000.0}},
        'tie_word_embeddings': False,
        'dtype': 'float32',
    },
}

# Second spellings of the same model: file name -> (what is removed, what is added).
SPELLINGS = {
    'llama3': ('config-rope-parameters.json', ['rope_theta', 'rope_scaling', 'torch_dtype'],
               {'rope_parameters': {'rope_type': 'llama3', 'rope_theta': 10000.0, **LLAMA3_ROPE}, 'dtype': 'float32'}),
    'llama-linear': ('config-rope-parameters.json', ['rope_theta', 'rope_scaling', 'torch_dtype'],
                     {'rope_parameters': {'rope_type': 'linear', 'rope_theta': 10000.0, 'factor': 4.0}, 'dtype': 'float32'}),
    'qwen2-window': ('config-layer-types.json', ['rope_theta', 'torch_dtype', 'max_window_layers'],
                     {'rope_parameters': {'rope_type': 'default', 'rope_theta': 1000000.0}, 'dtype': 'float32',
                      'layer_types': ['full_attention', 'sliding_attention']}),
    'gemma3': ('config-rope-parameters.json',
               ['rope_theta', 'rope_local_base_freq', 'rope_scaling', 'sliding_window_pattern', 'torch_dtype'],
               {'rope_parameters': {'full_attention': {'rope_type': 'linear', 'rope_theta': 100000.0, 'factor': 4.0},
                                    'sliding_attention': {'rope_type': 'default', 'rope_theta': 1000.0}},
                'layer_types': ['sliding_attention', 'sliding_attention', 'full_attention'], 'dtype': 'float32'}),
}

# Config without what each case is about; its logits must differ, or the case would test nothing.
WITHOUT = {
    'llama3': {'rope_scaling': None},
    'llama-linear': {'rope_scaling': None},
    'llama-bias': {'rms_norm_eps': 1e-5},
    'mistral-window': {'sliding_window': None},
    'qwen2-window': {'use_sliding_window': False},
    'qwen3-untied': {'layer_types': ['full_attention', 'full_attention']},
    'gemma3': {'rope_local_base_freq': 100000.0},
    'gemma3-untied': {'layer_types': ['full_attention', 'full_attention']},
}

ALL_LINEAR = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']

# case -> adapter folder -> settings of peft.LoraConfig
ADAPTERS = {
    'llama': {
        'adapter': {'r': 4, 'lora_alpha': 8, 'target_modules': ALL_LINEAR},
        'adapter-rslora': {'r': 4, 'lora_alpha': 8, 'target_modules': ['q_proj', 'v_proj'], 'use_rslora': True},
        'adapter-patterns': {'r': 4, 'lora_alpha': 8, 'target_modules': ['q_proj', 'down_proj'],
                             'rank_pattern': {'down_proj': 2}, 'alpha_pattern': {'down_proj': 12}},
    },
    'llama-bias': {'adapter': {'r': 4, 'lora_alpha': 8, 'target_modules': ALL_LINEAR}},
    'mistral': {'adapter': {'r': 4, 'lora_alpha': 8, 'target_modules': ALL_LINEAR}},
    'qwen2': {'adapter': {'r': 4, 'lora_alpha': 8, 'target_modules': ALL_LINEAR}},
    'qwen3-tied': {'adapter': {'r': 4, 'lora_alpha': 8, 'target_modules': ALL_LINEAR}},
    'gemma3': {'adapter': {'r': 4, 'lora_alpha': 8, 'target_modules': ALL_LINEAR}},
}

# Adapter settings that magrpo may refuse, by name; only their adapter_config.json is kept.
SPECIAL_ADAPTERS = {
    'dora': {'target_modules': ALL_LINEAR, 'use_dora': True},
    'modules-to-save': {'target_modules': ALL_LINEAR, 'modules_to_save': ['lm_head']},
    'bias-all': {'target_modules': ALL_LINEAR, 'bias': 'all'},
    'lora-bias': {'target_modules': ALL_LINEAR, 'lora_bias': True},
    'layers-to-transform': {'target_modules': ALL_LINEAR, 'layers_to_transform': [1]},
    'regex-targets': {'target_modules': r'.*\.layers\.0\..*q_proj'},
    'embedding-target': {'target_modules': ['q_proj', 'embed_tokens']},
    'head-target': {'target_modules': ['q_proj', 'lm_head']},
    'target-parameters': {'target_modules': ['q_proj'], 'target_parameters': ['mlp.down_proj.weight']},
    'token-indices': {'target_modules': ['q_proj'], 'trainable_token_indices': [3, 5]},
    'layer-replication': {'target_modules': ['q_proj'], 'layer_replication': [[0, 2], [1, 2]]},
    'fan-in-fan-out': {'target_modules': ['q_proj'], 'fan_in_fan_out': True},
    'activated-lora': {'target_modules': ['q_proj'], 'alora_invocation_tokens': [3, 5]},
    'exclude-modules': {'target_modules': ALL_LINEAR, 'exclude_modules': ['o_proj']},
}
