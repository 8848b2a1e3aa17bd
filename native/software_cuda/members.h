// Visits the members of a plain struct, so that pointers in a kernel's parameters are found by their type.
#pragma once

#include <cstddef>
#include <utility>

namespace magrpo::software_cuda {

struct AnyMember {
  template <typename T>
  operator T() const;
};

template <typename T, size_t... numbers>
constexpr bool has_members(std::index_sequence<numbers...>) {
  return requires { T{(static_cast<void>(numbers), AnyMember{})...}; };
}

// The largest number of values that T can be made from.
template <typename T, size_t count = 16>
constexpr size_t member_count() {
  static_assert(count > 0, "Expected a struct of 1 to 16 members.");
  if constexpr (has_members<T>(std::make_index_sequence<count>())) return count;
  else return member_count<T, count - 1>();
}

// Calls visit(member) for each member of an aggregate.
template <typename T, typename Visit>
void for_members(T& aggregate, Visit&& visit) {
  static_assert(!has_members<T>(std::make_index_sequence<17>()), "Expected a struct of 1 to 16 members.");
  const auto all = [&](auto&... members) { (visit(members), ...); };
  constexpr size_t count = member_count<T>();
#define MAGRPO_MEMBERS(number, ...)  \
  if constexpr (count == number) {   \
    auto& [__VA_ARGS__] = aggregate; \
    all(__VA_ARGS__);                \
  }
  MAGRPO_MEMBERS(1, a)
  MAGRPO_MEMBERS(2, a, b)
  MAGRPO_MEMBERS(3, a, b, c)
  MAGRPO_MEMBERS(4, a, b, c, d)
  MAGRPO_MEMBERS(5, a, b, c, d, e)
  MAGRPO_MEMBERS(6, a, b, c, d, e, f)
  MAGRPO_MEMBERS(7, a, b, c, d, e, f, g)
  MAGRPO_MEMBERS(8, a, b, c, d, e, f, g, h)
  MAGRPO_MEMBERS(9, a, b, c, d, e, f, g, h, i)
  MAGRPO_MEMBERS(10, a, b, c, d, e, f, g, h, i, j)
  MAGRPO_MEMBERS(11, a, b, c, d, e, f, g, h, i, j, k)
  MAGRPO_MEMBERS(12, a, b, c, d, e, f, g, h, i, j, k, l)
  MAGRPO_MEMBERS(13, a, b, c, d, e, f, g, h, i, j, k, l, m)
  MAGRPO_MEMBERS(14, a, b, c, d, e, f, g, h, i, j, k, l, m, n)
  MAGRPO_MEMBERS(15, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o)
  MAGRPO_MEMBERS(16, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p)
#undef MAGRPO_MEMBERS
}

}  // namespace magrpo::software_cuda
