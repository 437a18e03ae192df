// Types that can hold protected weights: asked of the rows that have some.
#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <memory>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/parallel.hpp"
#include "llmq/pipeline/interrupt.hpp"
#include "llmq/quant/protected.hpp"

#include "pipeline/protected_rows.hpp"
#include "pipeline/protection.hpp"

namespace llmq {
namespace {

/// What a tensor may be raised to, by bits a weight; among equal ones the better first. Ternary types are for
/// ternary weights, and bfloat16 holds less exactly than half.
constexpr std::array kLadder = {GgmlType::IQ1_M,  GgmlType::IQ2_XXS, GgmlType::IQ2_XS, GgmlType::IQ2_S,
                                GgmlType::Q2_K,   GgmlType::IQ3_XXS, GgmlType::IQ3_S,  GgmlType::Q3_K,
                                GgmlType::IQ4_XS, GgmlType::Q4_K,    GgmlType::IQ4_NL, GgmlType::Q4_1,
                                GgmlType::Q5_K,   GgmlType::Q5_0,    GgmlType::Q5_1,   GgmlType::Q6_K,
                                GgmlType::Q8_0,   GgmlType::F16,     GgmlType::F32};

/// The next higher type of these rows; F32 stays.
GgmlType next_type(GgmlType type, std::uint64_t row_elems) {
  const auto is_small = [](GgmlType candidate) { return block_type(candidate).block_elems == 32; };
  for (const GgmlType candidate : kLadder) {
    if (bits_per_weight(candidate) < bits_per_weight(type) || candidate == type) continue;
    const bool behind = std::find(kLadder.begin(), kLadder.end(), candidate) >
                        std::find(kLadder.begin(), kLadder.end(), type);
    if (bits_per_weight(candidate) == bits_per_weight(type) && !behind) continue;
    if (row_elems % block_type(candidate).block_elems != 0) continue;
    // Small blocks hold one weight each and cost more: for rows that have no super-blocks.
    if (is_small(candidate) && candidate != GgmlType::Q8_0 && row_elems % 256 == 0) continue;
    return candidate;
  }
  return GgmlType::F32;
}

/// Answers to all types of all questions. Threads write, each flag only from 0 to 1.
class Failures {
 public:
  explicit Failures(std::span<const HoldQuestion> questions) {
    for (const HoldQuestion& question : questions) {
      first_.push_back(count_);
      count_ += question.types.size();
    }
    flags_ = std::make_unique<std::atomic<bool>[]>(count_);
  }
  std::atomic<bool>& at(std::size_t question, std::size_t type) const {
    return flags_[first_[question] + type];
  }

  void share(const Communicator& comm) const {
    std::vector<std::uint64_t> failed(count_);
    for (std::size_t i = 0; i < count_; ++i) failed[i] = flags_[i] ? 1 : 0;
    comm.all_reduce(std::span(failed), comm::ReduceOp::max, "share types that hold");
    for (std::size_t i = 0; i < count_; ++i) flags_[i] = failed[i] != 0;
  }

 private:
  std::size_t count_ = 0;
  std::vector<std::size_t> first_;
  std::unique_ptr<std::atomic<bool>[]> flags_;
};

void ask_piece(const ModelSource& source, const HoldQuestion& question, const ProtectedPiece& piece,
               const Failures& failures, std::vector<float>& rows) {
  const ModelTensor& tensor = *question.tensor;
  const std::uint64_t elems = tensor.row_elems();
  const auto all_failed = [&] {
    for (std::size_t t = 0; t < question.types.size(); ++t) {
      if (!failures.at(piece.tensor, t)) return false;
    }
    return true;
  };
  if (all_failed()) return;
  rows.resize(piece.rows * elems);
  source.read_rows(tensor, piece.row, piece.rows, RowOrder::gguf, rows);
  std::span<const float> importance;
  if (!question.importance.empty()) importance = question.importance[piece.row / tensor.ne[1]];
  for_each_protected_row(
      piece.weights, elems, [&](std::uint64_t row, std::span<const std::uint64_t> columns) {
        const auto values = std::span<const float>(rows).subspan((row - piece.row) * elems, elems);
        const bool finite =
            std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
        for (std::size_t t = 0; t < question.types.size(); ++t) {
          std::atomic<bool>& failed = failures.at(piece.tensor, t);
          if (!failed && !(finite && can_protect_row(question.types[t], values, importance, columns)))
            failed = true;
        }
      });
}

}  // namespace

std::vector<std::vector<std::uint8_t>> types_that_hold(const StageContext& context, const ModelSource& source,
                                                       std::span<const HoldQuestion> questions) {
  const auto ranks = static_cast<std::size_t>(context.comm.size());
  const auto rank = static_cast<std::size_t>(context.comm.rank());
  std::vector<ProtectedPiece> mine;
  std::size_t number = 0;
  for (std::size_t q = 0; q < questions.size(); ++q) {
    for (const ProtectedPiece& piece : protected_pieces(*questions[q].tensor, q, questions[q].weights)) {
      if (number++ % ranks == rank) mine.push_back(piece);
    }
  }
  const Failures failures(questions);
  std::vector<std::vector<float>> rows(context.threads);
  context.comm.together("find types that hold protected weights", [&] {
    parallel_for(mine.size(), context.threads, [&](std::size_t i, std::size_t worker) {
      stop_if_asked();
      ask_piece(source, questions[mine[i].tensor], mine[i], failures, rows[worker]);
    });
  });
  failures.share(context.comm);
  std::vector<std::vector<std::uint8_t>> answers;
  for (std::size_t q = 0; q < questions.size(); ++q) {
    answers.emplace_back();
    for (std::size_t t = 0; t < questions[q].types.size(); ++t)
      answers.back().push_back(failures.at(q, t) ? 0 : 1);
  }
  return answers;
}

void raise_types(const StageContext& context, const ModelSource& source, const QuantizePlan& plan,
                 Protection& protection) {
  std::vector<HoldQuestion> open;
  for (const PlannedTensor& tensor : plan.tensors) {
    const auto found = protection.weights.find(tensor.source->name);
    if (found == protection.weights.end()) continue;
    open.push_back({tensor.source, found->second, tensor.importance, {tensor.type}});
  }
  while (!open.empty()) {
    const auto answers = types_that_hold(context, source, open);
    std::vector<HoldQuestion> still_open;
    for (std::size_t q = 0; q < open.size(); ++q) {
      if (answers[q][0] != 0) continue;
      HoldQuestion& question = open[q];
      const std::string& name = question.tensor->name;
      if (question.types[0] == GgmlType::F32) {
        throw Error(
            ExitCode::validation,
            fmt::format("tensor {} ({}): a row with protected weights holds values that are not finite", name,
                        question.tensor->source_name),
            "The checkpoint is damaged; fetch it again");
      }
      question.types[0] = next_type(question.types[0], question.tensor->row_elems());
      protection.raised[name] = question.types[0];
      still_open.push_back(std::move(question));
    }
    open = std::move(still_open);
  }
}

}  // namespace llmq
