// A flag that JavaScript sets and a running job polls, once per token step or micro-batch.
#pragma once

#include <atomic>
#include <memory>

#include "core/errors.h"

namespace magrpo::core {

class CancelFlag {
 public:
  void cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }
  // JavaScript replaces the error by the signal's reason.
  void check() const { core::check(!cancelled(), "ERR_CANCELLED", "The job was cancelled."); }

 private:
  std::atomic<bool> cancelled_{false};
};

using CancelFlagPtr = std::shared_ptr<CancelFlag>;

}  // namespace magrpo::core
