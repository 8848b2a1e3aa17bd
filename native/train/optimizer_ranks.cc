// What an optimizer does with the other ranks of a run: its state is spread over them, saved and read as if it were whole.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <exception>
#include <optional>
#include <unordered_map>

#include "core/errors.h"
#include "distributed/collectives.h"
#include "train/optimizer.h"

namespace magrpo::train {
namespace {

// Bounds of what has one number for `unit` of those that are bounded.
std::vector<int64_t> scaled(const std::vector<int64_t>& bounds, int64_t unit) {
  std::vector<int64_t> result;
  for (const int64_t bound : bounds) result.push_back((bound + unit - 1) / unit);
  return result;
}

// Where rank `rank` has its share of a flat tensor; undefined if that is empty.
at::Tensor share_of(const at::Tensor& flat, const std::vector<int64_t>& bounds, int rank) {
  const int64_t begin = bounds[rank], size = bounds[rank + 1] - begin;
  return size == 0 ? at::Tensor() : flat.narrow(0, begin, size);
}

// Fills a flat tensor on each rank from what they have of it.
void collect(const at::Tensor& flat, const at::Tensor& own, const std::vector<int64_t>& bounds, distributed::Collectives& ranks) {
  for (int rank = 0; rank < ranks.size(); ++rank) {
    std::vector<at::Tensor> share{share_of(flat, bounds, rank)};
    if (!share[0].defined()) continue;
    if (rank == ranks.rank()) share[0].copy_(own.reshape({-1}));
    ranks.copy(share, rank);
  }
}

}  // namespace

bool Optimizer::is_spread() const {
  return std::any_of(parameters_.begin(), parameters_.end(), [](const Parameter& p) { return !p.parts.front().bounds.empty(); });
}

int64_t Optimizer::state_bytes() const {
  int64_t bytes = 0;
  for (const auto& p : parameters_)
    for (const auto& part : p.parts) {
      for (const auto& [name, member] : kMomentMembers)
        if ((part.moments.*member).defined()) bytes += static_cast<int64_t>((part.moments.*member).nbytes());
      if (p.has_masters()) bytes += 4 * (part.end - part.begin);
    }
  return bytes;
}

std::vector<std::vector<std::vector<int64_t>>> Optimizer::bounds_for(int ranks) const {
  int64_t count = 0;
  for (const auto& p : parameters_) count += p.weight.numel();
  std::vector<std::vector<std::vector<int64_t>>> result;
  int64_t before = 0;
  for (const auto& p : parameters_) {
    const bool is_whole = !is_aligned(p);
    auto& parts = result.emplace_back();
    const int64_t start = before;
    for (const auto& part : p.parts) {
      auto& bounds = parts.emplace_back();
      const int64_t size = part.size();
      for (int rank = 0; rank <= ranks; ++rank) {
        const int64_t target = count * rank / ranks;
        if (is_whole) bounds.push_back(target - start >= p.weight.numel() / 2 || rank == ranks ? size : 0);
        else if (size < kLeastInt8) bounds.push_back(target - before >= size / 2 || rank == ranks ? size : 0);
        else bounds.push_back(target >= before + size ? size : std::max<int64_t>(0, (target - before) / kMomentBlock * kMomentBlock));
      }
      // A target of 0 may lie behind half of nothing.
      bounds.front() = 0;
      before += size;
    }
  }
  return result;
}

void Optimizer::spread(distributed::Collectives& ranks, bool wanted) {
  at::NoGradGuard no_grad;
  const auto bounds = bounds_for(ranks.size());
  for (size_t i = 0; i < parameters_.size(); ++i) {
    Parameter& p = parameters_[i];
    const auto of = [&](size_t part) { return wanted ? bounds[i][part] : std::vector<int64_t>(); };
    bool is_alike = true;
    for (size_t part = 0; part < p.parts.size(); ++part) is_alike = is_alike && p.parts[part].bounds == of(part);
    if (is_alike) continue;
    if (!p.parts.front().bounds.empty()) gather(p, ranks);
    p.is_cut = false;
    for (size_t k = 0; k < p.parts.size(); ++k) {
      Part& part = p.parts[k];
      part.bounds = of(k);
      part.begin = wanted ? part.bounds[ranks.rank()] : 0;
      part.end = wanted ? part.bounds[ranks.rank() + 1] : part.size();
      p.is_cut = p.is_cut || part.end - part.begin < part.size();
    }
    if (p.is_cut) cut(p);
  }
}

void Optimizer::cut(Parameter& p) {
  for (auto& part : p.parts) {
    const Moments all = std::exchange(part.moments, {});
    if (part.begin == part.end) continue;
    if (p.has_masters()) part.master = placed(own(p, part, p.master));
    if (!p.has_moments) continue;
    for (const auto& [name, member] : kMomentMembers) {
      if (!(all.*member).defined()) continue;
      const int64_t unit = (all.*member).numel() == part.size() ? 1 : kMomentBlock;
      const int64_t begin = part.begin / unit, end = (part.end + unit - 1) / unit;
      part.moments.*member = placed((all.*member).reshape({-1}).narrow(0, begin, end - begin));
    }
  }
  p.whole = {};
  if (p.has_masters()) p.master.reset();
}

void Optimizer::gather(Parameter& p, distributed::Collectives& ranks) {
  if (p.has_masters()) {
    const at::Tensor master = at::empty(p.weight.sizes(), place().dtype(at::kFloat));
    for (auto& part : p.parts) {
      const at::Tensor flat = master.narrow(0, part.slice.row, part.slice.rows).view({-1});
      collect(flat, part.begin < part.end ? master_of(p, part) : at::Tensor(), part.bounds, ranks);
      part.master.reset();
    }
    p.master = master;
  }
  if (!p.has_moments) return;
  const bool is_whole = *kind_ == MomentKind::kFloat32;
  const Moments whole = is_whole ? Moments::zeros_for(p.weight, *kind_, place()) : Moments();
  for (auto& part : p.parts) {
    const Moments all = is_whole ? whole.rows(part.slice.row, part.slice.rows)
                                 : Moments::zeros_for(part.slice.view(), kind_for(*kind_, part.size()), place());
    for (const auto& [name, member] : kMomentMembers) {
      if (!(all.*member).defined()) continue;
      const int64_t unit = (all.*member).numel() == part.size() ? 1 : kMomentBlock;
      collect((all.*member).view({-1}), part.moments.*member, scaled(part.bounds, unit), ranks);
    }
    part.moments = all;
  }
  p.whole = whole;
}

void Optimizer::share_weights(distributed::Collectives& ranks) {
  at::NoGradGuard no_grad;
  for (int rank = 0; rank < ranks.size(); ++rank) {
    std::vector<at::Tensor> moved;
    for (const auto& p : parameters_)
      for (const auto& part : p.parts) {
        const at::Tensor share = share_of(part.slice.view().view({-1}), part.bounds, rank);
        if (!share.defined()) continue;
        const int64_t most = distributed::kBucketBytes / static_cast<int64_t>(share.element_size());
        for (int64_t begin = 0; begin < share.numel(); begin += most)
          moved.push_back(share.narrow(0, begin, std::min(most, share.numel() - begin)));
      }
    ranks.copy(moved, rank);
  }
}

struct Optimizer::Entry {
  model::TensorInfo info;
  at::Tensor own;               // what this rank has of it; undefined for nothing
  std::vector<int64_t> bounds;  // of the ranks; empty if every rank has all of it
  bool is_zero = false;         // nobody has it, since no step was made
};

std::vector<Optimizer::Entry> Optimizer::entries() const {
  std::vector<Entry> result{{{"step", at::kFloat, {1}}, step_.view({1}), {}}};
  for (const auto& [prefix, member] : kMomentMembers)
    for (const auto& p : parameters_)
      for (const auto& part : p.parts) {
        const at::Tensor saved = Moments::blanks_for(part.slice.view(), kind_for(*kind_, part.size())).*member;
        if (!saved.defined()) continue;
        const int64_t unit = saved.numel() == part.size() ? 1 : kMomentBlock;
        result.push_back({{prefix + part.slice.name, saved.scalar_type(), saved.sizes().vec()},
                          part.moments.*member,
                          scaled(part.bounds, unit),
                          !p.has_moments});
      }
  if (!has_masters()) return result;
  for (const auto& p : parameters_)
    for (const auto& part : p.parts) {
      const model::TensorInfo info{"master." + part.slice.name, at::kFloat, part.slice.view().sizes().vec()};
      if (p.has_masters()) result.push_back({info, part.begin < part.end ? master_of(p, part) : at::Tensor(), part.bounds});
      else result.push_back({info, part.slice.view(), {}});
    }
  return result;
}

void Optimizer::write(const std::string& file, const std::string& header, distributed::Collectives& ranks) {
  at::NoGradGuard no_grad;
  make_step();
  std::optional<model::TensorWriter> writer;
  // The others send what they have in any case.
  std::exception_ptr failure;
  const auto attempt = [&](const auto& work) {
    if (failure || ranks.rank() != 0) return;
    try {
      work();
    } catch (...) {
      failure = std::current_exception();
    }
  };
  attempt([&] { writer.emplace(file, header); });
  for (const Entry& entry : entries()) {
    at::Tensor whole = entry.own;
    if (entry.is_zero) {
      if (ranks.rank() == 0) whole = at::zeros(entry.info.shape, entry.info.dtype);
    } else if (!entry.bounds.empty() && ranks.rank() != 0) {
      if (entry.own.defined()) ranks.send(entry.own, 0);
    } else if (!entry.bounds.empty()) {
      whole = at::empty({entry.bounds.back()}, entry.info.dtype);
      if (entry.own.defined()) share_of(whole, entry.bounds, 0).copy_(entry.own.reshape({-1}));
      for (int rank = 1; rank < ranks.size(); ++rank)
        if (const at::Tensor share = share_of(whole, entry.bounds, rank); share.defined()) ranks.receive(share, rank);
    }
    attempt([&] { writer->write(whole); });
  }
  attempt([&] { writer->finish(); });
  if (failure) std::rethrow_exception(failure);
}

void Optimizer::read(const std::vector<model::TensorSource>& sources, const core::CancelFlagPtr& cancel, distributed::Collectives& ranks) {
  at::NoGradGuard no_grad;
  const bool is_first = ranks.rank() == 0;
  std::exception_ptr failure;
  const auto attempt = [&](const auto& work) {
    if (failure || !is_first) return;
    try {
      work();
    } catch (...) {
      failure = std::current_exception();
    }
  };
  make_step();
  // What was saved, or that it does not fit, before anything is changed.
  std::vector<at::Tensor> told{at::full({1}, is_first ? static_cast<int64_t>(kind_of(sources)) : 0, at::kLong)};
  attempt([&] {
    const MomentKind kind = kind_of(sources);
    std::vector<model::NamedSlice> expected;
    for (const auto& [prefix, member] : kMomentMembers)
      for (const auto& p : parameters_)
        for (const auto& part : p.parts) {
          const at::Tensor blank = Moments::blanks_for(part.slice.view(), kind_for(kind, part.size())).*member;
          if (blank.defined()) expected.push_back({prefix + part.slice.name, blank, 0, blank.size(0)});
        }
    if (has_masters())
      for (const auto& p : parameters_)
        for (const auto& part : p.parts)
          expected.push_back({"master." + part.slice.name, part.slice.tensor, part.slice.row, part.slice.rows});
    model::check_shapes(expected, sources);
  });
  if (failure) told[0].fill_(-1);
  ranks.copy(told, 0);
  if (failure) std::rethrow_exception(failure);
  const int64_t kind = told[0].item<int64_t>();
  core::check(kind >= 0, "ERR_RANK", "Expected rank 0 to read the state of an optimizer, but it does not fit: rank 0 says why.");
  prepare(static_cast<MomentKind>(kind));
  std::unordered_map<std::string, const model::TensorSource*> by_name;
  for (const auto& source : sources) by_name[source.name] = &source;
  for (Entry& entry : entries()) {
    at::Tensor whole;
    if (is_first) whole = at::zeros(entry.info.shape, entry.info.dtype);
    attempt([&] { model::read_tensors({{entry.info.name, whole, 0, whole.size(0)}}, {*by_name.at(entry.info.name)}, cancel, nullptr); });
    if (entry.bounds.empty()) {
      if (is_first) entry.own.copy_(whole);
      std::vector<at::Tensor> own{entry.own};
      ranks.copy(own, 0);
    } else if (is_first) {
      const at::Tensor flat = whole.view({-1});
      if (entry.own.defined()) entry.own.copy_(share_of(flat, entry.bounds, 0).view_as(entry.own));
      for (int rank = 1; rank < ranks.size(); ++rank)
        if (const at::Tensor share = share_of(flat, entry.bounds, rank); share.defined()) ranks.send(share, rank);
    } else if (entry.own.defined()) {
      ranks.receive(entry.own, 0);
    }
  }
  if (failure) std::rethrow_exception(failure);
  if (step_count() == 0) drop_moments();
}

}  // namespace magrpo::train
