// The versions of the kernels that this test program holds, so that one test covers all. A CUDA build leaves out the CUDA sources
// run on the CPU: there they are compiled for the device, whose memory these tests do not use.
#pragma once

namespace magrpo::test {

enum class Version { kCpu, kCudaOnCpu };

#if defined(MAGRPO_CUDA)
inline constexpr Version kVersions[] = {Version::kCpu};
inline constexpr bool kHasCudaOnCpu = false;
#else
inline constexpr Version kVersions[] = {Version::kCpu, Version::kCudaOnCpu};
inline constexpr bool kHasCudaOnCpu = true;
#endif

inline const char* name_of(Version version) { return version == Version::kCpu ? "cpu" : "cuda source on the cpu"; }

}  // namespace magrpo::test
