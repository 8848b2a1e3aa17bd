#include "kernels/low_rank/low_rank.h"

namespace magrpo::kernels {

void low_rank_add_reference(const LowRankProduct& p, int64_t begin, int64_t end) {
  for (int64_t row = 0; row < p.rows; ++row)
    for (int64_t column = begin; column < end; ++column) {
      double sum = 0.0;
      for (int64_t k = 0; k < p.rank; ++k)
        sum += static_cast<double>(p.inner[row * p.rank + k]) * p.b[k * p.b_rank_stride + column * p.b_out_stride];
      float& y = p.y[row * p.y_stride + column];
      y = static_cast<float>(y + p.scale * sum);
    }
}

}  // namespace magrpo::kernels
