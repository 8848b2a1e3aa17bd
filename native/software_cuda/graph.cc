#include "software_cuda/graph.h"

#include <utility>

#include "software_cuda/memory.h"

namespace magrpo::software_cuda {
namespace {

thread_local Graph* recorded = nullptr;

}  // namespace

Graph::~Graph() {
  for (void* address : kept_) free_device(address);
}

void Graph::record(const std::function<void()>& work) {
  struct Scope {
    explicit Scope(Graph* graph) { recorded = graph; }
    ~Scope() { recorded = nullptr; }
  } scope(this);
  work();
}

void Graph::replay() const {
  for (const auto& step : steps_) step();
}

bool is_recording() { return recorded != nullptr; }

void add_to_graph(std::function<void()> step) {
  if (recorded != nullptr) recorded->steps_.push_back(std::move(step));
}

bool keep_for_graph(void* address) {
  if (recorded != nullptr) recorded->kept_.push_back(address);
  return recorded != nullptr;
}

}  // namespace magrpo::software_cuda
