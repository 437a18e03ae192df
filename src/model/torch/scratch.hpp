// Buffers for one sample on its way through a layer, and the pool they come from.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "model/torch/attention.hpp"
#include "model/torch/attention_backward.hpp"
#include "model/torch/experts.hpp"

namespace llmq::torch_pass {

struct Scratch {
  std::vector<float> normed, qkv, attended, gate_up, activated;
  std::vector<float> product;  // behind a product that is normed before it is added
  AttentionScratch attention;
  ExpertScratch experts;
  // Backward only.
  std::vector<float> middle, ffn_normed, d_activated, d_normed, d_attended, d_qkv, tile, logits;
  std::vector<float> raw_qkv, attention_product, ffn_product, d_product;  // where norms follow products
  AttentionBackwardScratch attention_backward;
  ExpertBackwardScratch experts_backward;
};

/// Keeps buffers between samples and layers. Threads come and go with every round of samples; buffers that
/// lived with the thread would be faulted in and zeroed again each time.
class ScratchPool {
 public:
  class Lease {
   public:
    explicit Lease(ScratchPool& pool) : pool_(pool), scratch_(pool.take()) {}
    ~Lease() { pool_.give_back(std::move(scratch_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Scratch& operator*() const noexcept { return *scratch_; }

   private:
    ScratchPool& pool_;
    std::unique_ptr<Scratch> scratch_;
  };

 private:
  std::unique_ptr<Scratch> take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) {
      free_.reserve(++made_);  // giving back then never allocates
      return std::make_unique<Scratch>();
    }
    std::unique_ptr<Scratch> scratch = std::move(free_.back());
    free_.pop_back();
    return scratch;
  }
  void give_back(std::unique_ptr<Scratch> scratch) noexcept {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(scratch));
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<Scratch>> free_;
  std::size_t made_ = 0;
};

}  // namespace llmq::torch_pass
