// Graphs: work of this thread that is recorded while it runs, and run again as a whole on the same memory.
#pragma once

#include <functional>
#include <memory>
#include <vector>

namespace magrpo::software_cuda {

class Graph {
 public:
  Graph() = default;
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  // Runs `work` on the current stream of this thread and records what it queues. Work that makes the host wait is an error.
  void record(const std::function<void()>& work);
  // Runs it again, on the current stream of this thread.
  void replay() const;

 private:
  friend void add_to_graph(std::function<void()> step);
  friend bool keep_for_graph(void* address);

  std::vector<std::function<void()>> steps_;
  std::vector<void*> kept_;  // memory that the work freed, and uses again at each replay
};

// Whether this thread records a graph.
bool is_recording();

// Adds a step to the graph that this thread records, if it records one.
void add_to_graph(std::function<void()> step);

// Keeps a device's memory for the graph that this thread records, instead of freeing it now; returns whether it records one.
bool keep_for_graph(void* address);

}  // namespace magrpo::software_cuda
