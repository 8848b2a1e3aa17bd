// The software device itself: what it finds, and that it finds it.
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "core/device.h"
#include "core/device_cuda.h"
#include "kernels/rotary/rotary.h"
#include "rollout/generate.h"
#include "software_cuda/table.h"
#include "test/devices.h"
#include "test/harness.h"
#include "test/tensors.h"
#include "train/pass.h"

namespace magrpo::test {
namespace {

const at::Device kFirst(at::kCUDA, 0), kSecond(at::kCUDA, 1);

// What a process of its own writes to its standard error while it ends by SIGSEGV in `work`; nothing if it does not.
std::string fault_in(const std::function<void()>& work) {
  cuda_devices();
  int ends[2];
  if (::pipe(ends) != 0) return "";
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], STDERR_FILENO);
    try {
      work();
    } catch (...) {
    }
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string text;
  char part[256];
  for (ssize_t size; (size = ::read(ends[0], part, sizeof part)) > 0;) text.append(part, static_cast<size_t>(size));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV ? text : "";
}

// The message that `work` throws.
std::string error_of(const std::function<void()>& work) {
  cuda_devices();
  try {
    work();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "nothing was thrown";
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// One token of one head of size 2, turned.
void turn(const at::Tensor& x, const at::Tensor& angle, const at::Tensor& y) {
  kernels::rotary_cuda({.heads = 1, .dim = 2, .stride = 2, .direction = 1.0f}, in(x), in(angle), in(angle), 1, out(y),
                       core::cuda::current_stream());
}

at::Tensor ones(at::IntArrayRef shape, const at::Device& device) {
  cuda_devices();
  return at::full(shape, 1.0, at::TensorOptions().device(device));
}

c10::Stream other_stream(const at::Device& device) { return c10::impl::VirtualGuardImpl(c10::kCUDA).getStreamFromGlobalPool(device); }

TEST("software device: the host faults where it touches a device's memory, whatever runs meanwhile") {
  EXPECT(has(fault_in([] { static_cast<void>(*static_cast<const volatile float*>(in(ones({3}, kFirst)))); }), "touched memory of cuda:0"));
  EXPECT(has(fault_in([] { *out(ones({3}, kSecond)) = 1.0f; }), "touched memory of cuda:1"));
  const auto beside_work = [] {
    const at::Tensor x = ones({64, 64}, kFirst), y = ones({3}, kFirst);
    std::atomic<int> products = 0;
    std::thread([&] {
      for (;; ++products) at::mm(x, x);
    }).detach();
    while (products < 10) std::this_thread::yield();
    *out(y) = 1.0f;
  };
  EXPECT(has(fault_in(beside_work), "touched memory of cuda:0"));
}

TEST("software device: tensors of two devices, or of a device and the host, do not mix") {
  EXPECT(has(error_of([] { at::cat({ones({3}, kFirst), ones({3}, kSecond)}); }), "some on cuda:0 and some on cuda:1"));
  EXPECT(has(error_of([] { at::mm(ones({3, 3}, kFirst), ones({3, 3}, at::kCPU)); }), "on the CPU"));
  const at::Tensor sum = ones({3}, kSecond) + ones({}, at::kCPU);
  EXPECT(sum.device() == kSecond && (sum.cpu() == 2.0).all().item<bool>());
  EXPECT((ones({3}, kFirst).to(kSecond).cpu() == 1.0).all().item<bool>());
}

TEST("software device: kernels take memory of the current device only") {
  const at::Tensor x = ones({2}, kFirst), angle = ones({1}, kFirst), y = ones({2}, kFirst);
  turn(x, angle, y);
  EXPECT(y.cpu()[0].item<float>() == 0.0f && y.cpu()[1].item<float>() == 2.0f);
  EXPECT(has(error_of([&] { turn(ones({2}, at::kCPU), angle, y); }), "memory of the host"));
  EXPECT(has(error_of([&] { turn(ones({2}, kSecond), angle, y); }), "the current device, but it points into a block of 8 bytes of cuda:1"));
  EXPECT(has(error_of([&] {
               const core::DeviceScope scope(kSecond);
               turn(x, angle, y);
             }),
             "cuda:1, the current device"));
  const auto freed = [&] {
    const float* pointer = nullptr;
    {
      const at::Tensor gone = ones({2}, kFirst);
      pointer = in(gone);
    }
    kernels::rotary_cuda({.heads = 1, .dim = 2, .stride = 2, .direction = 1.0f}, pointer, in(angle), in(angle), 1, out(y), nullptr);
  };
  EXPECT(has(error_of(freed), "was freed"));
  const c10::Stream foreign = other_stream(kSecond);
  void* handle = c10::impl::VirtualGuardImpl(c10::kCUDA).getStreamNativeHandle(foreign);
  EXPECT(has(error_of([&] { kernels::rotary_cuda({1, 2, 2, 1.0f}, in(x), in(angle), in(angle), 1, out(y), handle); }),
             "of cuda:1 while cuda:0 is current"));
}

TEST("software device: memory that nothing wrote is NaN, and writing behind a tensor is found") {
  EXPECT(at::empty({3}, at::TensorOptions().device(kFirst)).isnan().all().item<bool>());
  const auto too_long = [] {
    {
      const at::Tensor short_one = ones({1}, kFirst), x = ones({2}, kFirst), angle = ones({1}, kFirst);
      turn(x, angle, short_one);
    }
    ones({1}, kFirst);
  };
  EXPECT(has(error_of(too_long), "wrote beyond the end of a block of 4 bytes of cuda:0"));
}

TEST("software device: a stream that does not wait for another's work is an error") {
  const at::Tensor x = ones({3}, kFirst);
  const c10::Stream stream = other_stream(kFirst);
  const auto unordered = [&] {
    const c10::StreamGuard guard(stream);
    x + 1.0;
  };
  EXPECT(has(error_of(unordered), " reads a block of 12 bytes of cuda:0, which the default stream of cuda:0 wrote"));
  const auto event = core::cuda::record_event(kFirst);
  event->block(stream);
  {
    const c10::StreamGuard guard(stream);
    EXPECT(((x + 1.0).cpu() == 2.0).all().item<bool>());
    x + 1.0;
  }
  EXPECT(has(error_of([&] { x.add_(1.0); }), "writes a block of 12 bytes of cuda:0, which stream "));
  c10::impl::VirtualGuardImpl(c10::kCUDA).synchronizeStream(stream);
  x.add_(1.0);
}

TEST("software device: memory freed while another stream may use it is an error") {
  const c10::Stream stream = other_stream(kFirst);
  const auto freed_early = [&] {
    {
      const at::Tensor x = ones({3}, kFirst);
      core::cuda::record_event(kFirst)->block(stream);
      const c10::StreamGuard guard(stream);
      x + 1.0;
    }
    ones({1}, kFirst);
  };
  EXPECT(has(error_of(freed_early), "was freed while stream "));
}

TEST("software device: pinned memory may be touched once its copy was waited for") {
  const auto pinned = at::TensorOptions().pinned_memory(true);
  const auto copied = [&](bool waits, bool writes_back) {
    at::Tensor host = at::empty({3}, pinned);
    const at::Tensor x = ones({3}, kFirst);
    if (writes_back) at::empty({3}, at::TensorOptions().device(kFirst)).copy_(host.fill_(1.0), /*non_blocking=*/true);
    else host.copy_(x, /*non_blocking=*/true);
    if (waits) core::cuda::synchronize(*core::cuda::record_event(kFirst));
    if (writes_back) host.fill_(2.0);
    return in(host)[0];
  };
  cuda_devices();
  EXPECT(copied(true, false) == 1.0f);
  EXPECT(copied(true, true) == 2.0f);
  EXPECT(has(fault_in([&] { copied(false, false); }), "whose copy it has not waited for"));
  EXPECT(has(fault_in([&] { copied(false, true); }), "whose copy it has not waited for"));
  // An event of before the copy says nothing about it.
  EXPECT(has(fault_in([&] {
               at::Tensor host = at::empty({3}, pinned);
               const at::Tensor x = ones({3}, kFirst);
               const auto early = core::cuda::record_event(kFirst);
               host.copy_(x, /*non_blocking=*/true);
               core::cuda::synchronize(*early);
               static_cast<void>(*static_cast<const volatile float*>(in(host)));
             }),
             "whose copy it has not waited for"));
}

TEST("software device: operations that make the host wait are counted") {
  cuda_devices();
  const auto& take = software_cuda::table()->take_waits;
  const at::Tensor x = ones({3}, kFirst);
  take();
  x.sum();
  at::mm(ones({3, 3}, kFirst), ones({3, 3}, kFirst));
  EXPECT(take().empty());
  x[0].item<float>();
  x.cpu();
  x.nonzero();
  ones({3}, at::kCPU).to(kFirst);
  ones({3}, at::kCPU).to(kFirst, /*non_blocking=*/true);
  const auto waits = take();
  EXPECT(waits.size() == 4 && waits.at("item") == 1 && waits.at("copy to the host") == 1 && waits.at("aten::nonzero") == 1 &&
         waits.at("copy to the device") == 1);
}

TEST("software device: a prompt and each decoding step wait for the device once") {
  cuda_devices();
  const auto decoder = moved(*tiny_decoder(tiny_config(), 1), kFirst);
  const auto& take = software_cuda::table()->take_waits;
  for (const bool pins : {false, true}) {
    std::optional<Switch> pinned;
    if (pins) pinned.emplace("MAGRPO_CUDA_PINNED");
    rollout::GenerateRequest request;
    request.tree = {{-1}, {0, 5}, {3, 1, 4, 1, 5}, {-1}};
    for (uint32_t i = 0; i < 2; ++i) request.rows.push_back({0, 6, {7, 0, 0, 0, i}});
    rollout::Generation generation(*decoder, std::move(request), std::make_shared<core::CancelFlag>());
    for (bool goes_on = true; goes_on;) {
      take();
      goes_on = !generation.advance();
      std::string reasons;
      int64_t count = 0;
      for (const auto& [reason, times] : take()) {
        count += times;
        reasons += reason + " ";
      }
      EXPECT(count <= 1, "pinned: ", pins, ", waited for ", reasons);
    }
  }
}

TEST("software device: a micro-batch of training waits for its scores alone") {
  cuda_devices();
  const auto policy = std::make_shared<train::Policy>(moved(*tiny_decoder(tiny_config(), 1), kFirst));
  const auto& take = software_cuda::table()->take_waits;
  train::PassRequest request;
  request.tree = {{-1}, {0, 5}, {3, 1, 4, 1, 5}, {0}};
  request.policies = {policy};
  request.scored = {0, 1, 1, 1, 1};
  request.weights = {0.0f, 0.5f, -0.5f, 1.0f, 0.3f};
  request.temperature = 0.7;
  request.repetition_penalty = 1.3;
  train::Pass pass(policy->decoder(), std::move(request), std::make_shared<core::CancelFlag>());
  take();
  pass.advance();
  std::string reasons;
  int64_t count = 0;
  for (const auto& [reason, times] : take()) {
    count += times;
    reasons += core::concat(times, " ", reason, " ");
  }
  EXPECT(count <= 1, "waited for ", reasons);
  policy->step({.learning_rate = 1e-3});
  reasons = "";
  for (const auto& [reason, times] : take()) reasons += core::concat(times, " ", reason, " ");
  EXPECT(reasons == "1 item ", "a step waited for ", reasons);
}

}  // namespace
}  // namespace magrpo::test
