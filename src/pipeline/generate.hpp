// Sequences of tokens on their way through one model: text that is continued token by token, and text that is
// given. No bit depends on how many sequences go together, on threads, or on which layers stay in memory.
// Local: ranks take sequences of their own. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "llmq/model/source.hpp"
#include "llmq/pipeline/stage_context.hpp"

namespace llmq {

/// What decides how much of a generation a rank holds at once, in bytes.
struct GenerationDemand {
  std::uint64_t fixed = 0;     ///< program, scratch, logits
  std::uint64_t head = 0;      ///< output matrix
  std::uint64_t layer = 0;     ///< weights of the largest layer
  std::uint64_t sequence = 0;  ///< keys, values and states of one sequence
  std::size_t layers = 0;
};

struct GenerationPlan {
  std::size_t sequences = 0;        ///< that go together; 0: not even one fits
  std::size_t resident_layers = 0;  ///< the others are loaded again for every step
};

/// The pass of a model for sequences of at most `tokens`: a long context's table of rotations is not made.
std::unique_ptr<ForwardPass> make_short_pass(const ModelSpec& spec, std::size_t tokens);
GenerationDemand generation_demand(const ModelSpec& spec, const ForwardPass& pass, std::size_t tokens,
                                   std::size_t threads);
std::uint64_t generation_bytes(const GenerationDemand& demand, const GenerationPlan& plan) noexcept;
/// All layers resident where that leaves room for enough sequences; else as many sequences as fit, then as
/// many layers.
GenerationPlan plan_generation(const GenerationDemand& demand, std::size_t sequences,
                               std::uint64_t limit_bytes) noexcept;

/// One model, some of its layers resident.
class Generator {
 public:
  /// Logits of one place: behind all tokens of `sequence` up to the one before `step`. Called by several
  /// threads at once.
  using Picker =
      std::function<TokenId(std::size_t sequence, std::size_t step, std::span<const float> logits)>;
  using Reader = std::function<void(std::size_t sequence, std::size_t step, std::span<const float> logits)>;
  /// Told how many more tokens are done.
  using Progress = std::function<void(std::size_t tokens)>;

  /// @param tokens  most a sequence will hold   @param sequences  that will be asked for at once
  /// @throws Error(out_of_memory).
  Generator(const StageContext& context, const ModelSource& model, std::size_t tokens, std::size_t sequences);

  const GenerationPlan& plan() const noexcept { return plan_; }
  /// `length` tokens behind each prompt, as `pick` chooses them.
  std::vector<std::vector<TokenId>> write(std::span<const std::vector<TokenId>> prompts, std::size_t length,
                                          const Picker& pick, const Progress& progress);
  /// Logits of all steps of continuations that are there already.
  void read(std::span<const std::vector<TokenId>> prompts,
            std::span<const std::vector<TokenId>> continuations, const Reader& reader,
            const Progress& progress);

 private:
  using Ids = std::vector<TokenId>;
  /// Rows of `hidden` whose logits are wanted: those of one sequence from `first_row` on are its steps from
  /// `first_step` on.
  struct Wanted {
    std::size_t sequence;
    std::size_t first_row;
    std::size_t first_step;
    std::size_t count;
  };

  void start(std::size_t sequences);
  /// hidden of all new tokens of the sequences that were started, behind the last layer.
  void extend(const std::vector<Ids>& fresh, std::vector<float>& hidden);
  void visit_logits(std::span<const float> hidden, const std::vector<Wanted>& wanted,
                    const Reader& reader) const;

  const StageContext& context_;
  const ModelSource& model_;
  std::size_t tokens_;
  std::unique_ptr<ForwardPass> pass_;
  WeightLoader loader_;
  CodeLoader codes_;  ///< null unless the model has 8-bit weights
  GenerationPlan plan_;
  std::unique_ptr<LayerWeights> head_;
  std::vector<std::unique_ptr<LayerWeights>> layers_;  ///< resident ones, the first of the model
  std::vector<std::vector<KvCache>> caches_;           ///< by sequence and layer
};

}  // namespace llmq
