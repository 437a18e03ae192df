// Statistics of one layer gathered by several threads: one set a thread, joined afterwards.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "pipeline/layer_statistics.hpp"

namespace llmq {

class ThreadStatistics {
 public:
  ThreadStatistics(const ModelSpec& spec, ImportanceMethod method, std::size_t threads)
      : sets_(threads, LayerStatistics(spec, method)) {}
  LayerStatistics& of(std::size_t worker) { return sets_[worker]; }
  /// Adds all sets to `target`, which is made if it is of no layer yet, and empties them.
  void join_into(LayerStatistics& target) {
    for (LayerStatistics& set : sets_) {
      if (target.made()) {
        target.add(set);
      } else {
        target = set;
      }
      set.clear();
    }
  }

 private:
  std::vector<LayerStatistics> sets_;
};

}  // namespace llmq
