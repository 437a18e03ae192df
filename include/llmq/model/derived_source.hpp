// A model that is another one but for its weights: everything else is asked of that. SPDX-License-Identifier:
// Apache-2.0
#pragma once

#include <vector>

#include "llmq/model/source.hpp"

namespace llmq {

/// The source must outlive it. Thread-safe as the source is.
class DerivedSource : public ModelSource {
 public:
  explicit DerivedSource(const ModelSource& source) : source_(source) {}

  const ModelSpec& spec() const noexcept override { return source_.spec(); }
  const std::vector<ModelTensor>& tensors() const noexcept override { return source_.tensors(); }
  void will_need(const ModelTensor& tensor) const noexcept override { source_.will_need(tensor); }
  Vocabulary vocabulary() const override { return source_.vocabulary(); }
  bool is_gguf() const noexcept override { return source_.is_gguf(); }

 protected:
  const ModelSource& source_;
};

}  // namespace llmq
