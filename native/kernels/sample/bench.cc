#include <ATen/ops/multinomial.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/softmax.h>

#include <memory>
#include <string>

#include "bench/kernel_cases.h"
#include "rollout/sampler.h"

namespace magrpo::bench {
namespace {

void add_sampler(std::vector<KernelCase>& cases) {
  for (const int64_t vocab : {kVocab, int64_t{151936}}) {
    const at::Tensor logits = at::randn({kGroup, vocab});
    const auto scratch = std::make_shared<rollout::SamplerScratch>();
    cases.push_back({"sampler", "8 rows of " + std::to_string(vocab) + ", one thread", kFloat * logits.numel(), 12 * logits.numel(),
                     [=] {
                       for (int64_t row = 0; row < kGroup; ++row)
                         rollout::choose_token(logits.const_data_ptr<float>() + row * vocab, vocab, rollout::Sampling{}, {}, 0.37,
                                               *scratch);
                     },
                     without_gradient([=] { return at::multinomial(at::softmax(logits, -1), 1); })});
  }
}

const Registration sampler(add_sampler);

}  // namespace
}  // namespace magrpo::bench
