// Builds a function for several x86-64 levels, and calls the build for the widest vectors that the processor has.
#pragma once

#define MAGRPO_INLINE inline __attribute__((always_inline))

#if defined(__x86_64__) && defined(__GNUC__)
#define MAGRPO_HAS_LEVELS
#define MAGRPO_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")))
#define MAGRPO_AVX2 __attribute__((target("avx2,fma")))
#else
#define MAGRPO_AVX512
#define MAGRPO_AVX2
#endif

namespace magrpo::kernels {

enum class SimdLevel { kAny, kAvx2, kAvx512 };

// Of this processor.
inline SimdLevel simd_level() {
#if defined(MAGRPO_HAS_LEVELS)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl"))
    return SimdLevel::kAvx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return SimdLevel::kAvx2;
#endif
  return SimdLevel::kAny;
}

// Three functions of one signature, each inlined into a build for its level.
template <auto avx512_body, auto avx2_body, auto any_body>
struct Builds;

template <class Result, class... Arguments, Result (*avx512_body)(Arguments...), Result (*avx2_body)(Arguments...),
          Result (*any_body)(Arguments...)>
struct Builds<avx512_body, avx2_body, any_body> {
  using Function = Result (*)(Arguments...);

  MAGRPO_AVX512 static Result avx512(Arguments... arguments) { return avx512_body(arguments...); }
  MAGRPO_AVX2 static Result avx2(Arguments... arguments) { return avx2_body(arguments...); }
  static Result any(Arguments... arguments) { return any_body(arguments...); }

  static Function widest() {
    const SimdLevel level = simd_level();
    return level == SimdLevel::kAvx512 ? avx512 : level == SimdLevel::kAvx2 ? avx2 : any;
  }
};

// Calls body(arguments...) as built for this processor. `body` is MAGRPO_INLINE; where it depends on the width of vectors, one is given
// for each level: dispatch<add<64>, add<32>, add<16>>(product).
template <auto avx512_body, auto avx2_body = avx512_body, auto any_body = avx512_body, class... Arguments>
inline auto dispatch(Arguments&&... arguments) {
  static const auto chosen = Builds<avx512_body, avx2_body, any_body>::widest();
  return chosen(static_cast<Arguments&&>(arguments)...);
}

}  // namespace magrpo::kernels
