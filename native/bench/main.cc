// magrpo_bench COMMAND: measurements that need no model. Each prints JSON, one object per line.
//
//   roof BYTES [THREADS]   how quickly a buffer of BYTES is read
//   product [THREADS]      operations a second of libtorch's matrix product at its best
//   kernels [THREADS] [WORDS]   each kernel whose name contains WORDS beside the plain libtorch operations, and the roofs at its size
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "bench/kernel_cases.h"
#include "bench/roof.h"
#include "bench/timing.h"

namespace magrpo::bench {
namespace {

void print_kernels(const std::string& words) {
  const double peak = product_peak();
  for (const auto& c : kernel_cases()) {
    if (c.kernel.find(words) == std::string::npos) continue;
    // In turn, so that a change of the machine's speed meets both.
    double ours = 0, aten = 0, least = 1e30;
    constexpr int kRounds = 3;
    for (int round = 0; round < kRounds; ++round) {
      const Timing own = measure(c.ours, 0.1);
      ours += own.median / kRounds;
      least = std::min(least, own.least);
      aten += measure(c.aten, 0.1).median / kRounds;
    }
    const double bandwidth = read_bandwidth(c.bytes);
    const double roof = std::max(static_cast<double>(c.bytes) / bandwidth, static_cast<double>(c.operations) / peak);
    std::printf(
        "{\"kernel\":\"%s\",\"shape\":\"%s\",\"seconds\":%.9f,\"least\":%.9f,\"aten\":%.9f,\"bytes\":%lld,\"operations\":%lld,"
        "\"bandwidth\":%.0f,\"peak\":%.0f,\"share\":%.4f}\n",
        c.kernel.c_str(), c.shape.c_str(), ours, least, aten, static_cast<long long>(c.bytes), static_cast<long long>(c.operations),
        bandwidth, peak, roof / ours);
    std::fflush(stdout);
  }
}

int run(int argc, char** argv) {
  const std::string command = argc > 1 ? argv[1] : "";
  const int first = command == "roof" ? 3 : 2;
  if (argc > first) at::set_num_threads(std::max(1, std::atoi(argv[first])));
  if (command == "roof" && argc > 2) std::printf("{\"bandwidth\":%.0f}\n", read_bandwidth(std::atoll(argv[2])));
  else if (command == "product") std::printf("{\"peak\":%.0f}\n", product_peak());
  else if (command == "kernels") print_kernels(argc > 3 ? argv[3] : "");
  else {
    std::fprintf(stderr, "Expected roof BYTES [THREADS], product [THREADS] or kernels [THREADS] [WORDS].\n");
    return 2;
  }
  return 0;
}

}  // namespace
}  // namespace magrpo::bench

int main(int argc, char** argv) { return magrpo::bench::run(argc, argv); }
