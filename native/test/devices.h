// Devices for tests: a GPU's in CUDA builds, else the software device's.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <memory>
#include <vector>

#include "model/decoder.h"

namespace magrpo::test {

// cuda:0 and, if there is one, cuda:1; none, with a line that says so, where a CUDA build finds no GPU.
std::vector<at::Device> cuda_devices();

// Sets an environment variable to 1 for as long as it lives.
class Switch {
 public:
  explicit Switch(const char* name);
  ~Switch();
  Switch(const Switch&) = delete;
  Switch& operator=(const Switch&) = delete;

 private:
  const char* name_;
};

// Copies of a decoder and of an adapter on a device.
std::shared_ptr<model::Decoder> moved(const model::Decoder& decoder, const at::Device& device);
model::Adapter moved(const model::Adapter& adapter, const at::Device& device);

}  // namespace magrpo::test
