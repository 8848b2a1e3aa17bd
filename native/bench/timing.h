// Repeats work and takes the median: one number a measurement, in seconds.
#pragma once

#include <algorithm>
#include <chrono>
#include <vector>

namespace magrpo::bench {

inline double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

struct Timing {
  double median;
  double least;
  int repetitions;
};

// Runs `work` a few times to warm up, then for about `seconds`, at least 5 and at most 2000 times.
template <typename Work>
Timing measure(Work&& work, double seconds = 0.3) {
  const double warm_until = now() + seconds / 5;
  for (int i = 0; i < 2 || (i < 50 && now() < warm_until); ++i) work();
  std::vector<double> times;
  const double until = now() + seconds;
  while (times.size() < 5 || (times.size() < 2000 && now() < until)) {
    const double start = now();
    work();
    times.push_back(now() - start);
  }
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times.front(), static_cast<int>(times.size())};
}

}  // namespace magrpo::bench
