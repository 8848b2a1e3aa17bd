// Ranks of a run as threads of the test.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <numeric>
#include <thread>
#include <vector>

#include "distributed/collectives.h"
#include "distributed/switchboard.h"

namespace magrpo::test {

inline int free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const bool is_bound = bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0;
  const bool is_known = getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  close(fd);
  return is_bound && is_known ? ntohs(address.sin_port) : 0;
}

inline distributed::Place place_of(int rank, int size, int port) {
  distributed::Place place;
  place.rank = rank;
  place.size = size;
  place.address = "127.0.0.1";
  place.port = port;
  place.hosts_store = rank == 0;
  place.prefix = "test";
  place.timeout = std::chrono::milliseconds(20000);
  return place;
}

// Does the work of so many ranks, a thread each; throws what the first of them threw.
inline void with_ranks(int size, const std::function<void(distributed::Collectives&)>& work) {
  const int port = free_port();
  std::vector<std::exception_ptr> failures(static_cast<size_t>(size));
  const auto run = [&](int rank) {
    try {
      distributed::Switchboard switchboard(place_of(rank, size, port), {[](int, distributed::Bytes) {}, [](int, const std::string&) {}});
      std::mutex mutex;
      std::condition_variable changed;
      bool has_joined = false;
      switchboard.join({}, [&](std::vector<distributed::Bytes>, const std::string&) {
        const std::lock_guard<std::mutex> lock(mutex);
        has_joined = true;
        changed.notify_all();
      });
      {
        std::unique_lock<std::mutex> lock(mutex);
        changed.wait(lock, [&] { return has_joined; });
      }
      std::vector<int> members(static_cast<size_t>(size));
      std::iota(members.begin(), members.end(), 0);
      distributed::Collectives collectives(switchboard, members);
      work(collectives);
      switchboard.close();
    } catch (...) {
      failures[static_cast<size_t>(rank)] = std::current_exception();
    }
  };
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) threads.emplace_back(run, rank);
  for (auto& thread : threads) thread.join();
  for (const auto& failure : failures)
    if (failure) std::rethrow_exception(failure);
}

}  // namespace magrpo::test
