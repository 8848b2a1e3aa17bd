"""Numbers that look random and that Python and TypeScript (test/support/golden-models.ts) make equally, bit for bit.

Number `i` of the stream `name` is a 32-bit hash of both, of which the upper 24 bits give a multiple of 2^-23 in [-1, 1):
FNV-1a of the name's UTF-8 bytes, plus i times 0x9e3779b9, through MurmurHash3's finaliser.
"""

import numpy as np


def uniform(name, count):
    """float64 (count) in [-1, 1), exact multiples of 2^-23."""
    seed = 0x811C9DC5
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x01000193) & 0xFFFFFFFF
    h = (np.arange(count, dtype=np.uint64) * 0x9E3779B9 + seed) & 0xFFFFFFFF
    h ^= h >> 16
    h = (h * 0x85EBCA6B) & 0xFFFFFFFF
    h ^= h >> 13
    h = (h * 0xC2B2AE35) & 0xFFFFFFFF
    h ^= h >> 16
    return (h >> 8).astype(np.float64) / 2**23 - 1


def integers(name, count, bound):
    """(count) integers in [0, bound)."""
    return [int(x) for x in np.floor((uniform(name, count) + 1) / 2 * bound)]


def weight(case, name, shape):
    """float32 tensor of a golden model. Scales are such that attention is neither flat nor one-hot and logits spread by about 1.5."""
    count = int(np.prod(shape))
    centre, scale = (1.0, 0.5) if name.endswith('norm.weight') else (0.0, 0.3)
    if case.startswith('gemma3') and scale == 0.5:  # which adds 1 to the weights of its norms
        centre = -0.5 if name == 'model.norm.weight' else 0.5
    return (centre + scale * uniform(f'{case}/{name}', count)).astype(np.float32).reshape(shape)
