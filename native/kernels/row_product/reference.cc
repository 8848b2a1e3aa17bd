#include <bit>

#include "kernels/row_product/row_product.h"

namespace magrpo::kernels {

void row_product_reference(const RowProduct& p, int64_t begin, int64_t end) {
  const auto weight = [&](int64_t at) -> double {
    if (!p.is_bfloat16) return static_cast<const float*>(p.weight)[at];
    return std::bit_cast<float>(static_cast<uint32_t>(static_cast<const uint16_t*>(p.weight)[at]) << 16);
  };
  for (int64_t r = 0; r < p.rows; ++r)
    for (int64_t c = begin; c < end; ++c) {
      double sum = 0.0;
      for (int64_t i = 0; i < p.in; ++i) sum += static_cast<double>(p.x[r * p.x_stride + i]) * weight(c * p.in + i);
      float& y = p.y[r * p.y_stride + c];
      y = static_cast<float>((p.adds ? y : 0.0) + p.scale * sum + (p.bias == nullptr ? 0.0 : p.bias[c]));
    }
}

}  // namespace magrpo::kernels
