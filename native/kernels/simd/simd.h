// One build for several x86-64 levels: the loader picks the clone that fits the processor (GCC and glibc only).
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__gnu_linux__)
#define MAGRPO_SIMD_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define MAGRPO_SIMD_CLONES
#endif

#define MAGRPO_INLINE inline __attribute__((always_inline))

// A vector of lanes of a and b, as many as they have; b's are counted on from a's. `Indices`: as many integers as there are lanes.
#if defined(__clang__)
#define MAGRPO_LANES(Indices, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define MAGRPO_LANES(Indices, a, b, ...) __builtin_shuffle(a, b, Indices{__VA_ARGS__})
#endif
