#include "pipeline/generate.hpp"

#include <algorithm>

#include "llmq/core/checked.hpp"
#include "llmq/core/parallel.hpp"
#include "llmq/pipeline/interrupt.hpp"

namespace llmq {
namespace {

constexpr std::size_t kHeadRows = 32;  // positions per head product: bounds the logits held at once
constexpr std::uint64_t kProgramBytes = std::uint64_t{256} << 20;
/// Loading a layer again costs about as much as this many passes over resident ones: so many turns are still
/// better.
constexpr std::size_t kMostTurns = 8;
/// Logits that are worth another thread.
constexpr std::size_t kThreadLogits = std::size_t{1} << 19;

std::uint64_t layer_bytes(const ModelSpec& spec) {
  const std::uint64_t width = spec.hidden_size;
  const std::uint64_t attention = std::uint64_t{spec.head_dim} * (2 * spec.n_heads + 2 * spec.n_kv_heads);
  return sizeof(float) * width * (attention + 3 * std::uint64_t{spec.intermediate_size} + 2);
}

}  // namespace

std::unique_ptr<ForwardPass> make_short_pass(const ModelSpec& spec, std::size_t tokens) {
  ModelSpec shortened = spec;
  shortened.context_length =
      std::min(spec.context_length, checked_cast<std::uint32_t>(tokens, "tokens of a sequence"));
  return make_forward_pass(shortened);
}

GenerationDemand generation_demand(const ModelSpec& spec, const ForwardPass& pass, std::size_t tokens,
                                   std::size_t threads) {
  GenerationDemand demand;
  demand.layers = spec.n_layers;
  demand.layer = layer_bytes(spec);
  demand.head = sizeof(float) * std::uint64_t{spec.vocab_size} * spec.hidden_size;
  demand.fixed = kProgramBytes + sizeof(float) * kHeadRows * std::uint64_t{spec.vocab_size} +
                 pass.extend_scratch_bytes(tokens, threads);
  demand.sequence =
      spec.n_layers * KvCache::bytes(spec, tokens) + sizeof(float) * tokens * std::uint64_t{spec.hidden_size};
  return demand;
}

std::uint64_t generation_bytes(const GenerationDemand& demand, const GenerationPlan& plan) noexcept {
  // Loading holds one tensor twice for a moment. The head comes first.
  const std::uint64_t passing = plan.resident_layers < demand.layers ? 2 : 1;
  return demand.fixed + demand.head + plan.sequences * demand.sequence +
         std::max(demand.head, (plan.resident_layers + passing) * demand.layer);
}

GenerationPlan plan_generation(const GenerationDemand& demand, std::size_t sequences,
                               std::uint64_t limit_bytes) noexcept {
  const auto fitting = [&](std::size_t resident) -> std::size_t {
    const std::uint64_t none = generation_bytes(demand, {0, resident});
    if (none > limit_bytes) return 0;
    return static_cast<std::size_t>(
        std::min<std::uint64_t>(sequences, (limit_bytes - none) / demand.sequence));
  };
  if (const std::size_t together = fitting(demand.layers); together * kMostTurns >= sequences)
    return {together, demand.layers};
  GenerationPlan plan{fitting(0), 0};
  if (plan.sequences == 0) return plan;
  while (plan.resident_layers + 1 < demand.layers &&
         generation_bytes(demand, {plan.sequences, plan.resident_layers + 1}) <= limit_bytes) {
    ++plan.resident_layers;
  }
  return plan;
}

Generator::Generator(const StageContext& context, const ModelSource& model, std::size_t tokens,
                     std::size_t sequences)
    : context_(context),
      model_(model),
      tokens_(tokens),
      pass_(make_short_pass(model.spec(), tokens)),
      loader_(make_weight_loader(model)),
      codes_(make_code_loader(model)) {
  if (sequences == 0) return;  // a rank without work loads nothing
  const GenerationDemand demand = generation_demand(model.spec(), *pass_, tokens, context.threads);
  plan_ = plan_generation(demand, sequences, context.memory_limit_bytes);
  if (plan_.sequences == 0) require_memory(context, generation_bytes(demand, {1, 0}), "the coherence plan");
  head_ = pass_->load_head(loader_);
  for (std::uint32_t layer = 0; layer < plan_.resident_layers; ++layer) {
    stop_if_asked();
    layers_.push_back(pass_->load_layer(layer, loader_, codes_));
  }
}

void Generator::start(std::size_t sequences) {
  caches_.resize(sequences);
  for (std::vector<KvCache>& of_layers : caches_) {
    for (KvCache& cache : of_layers) cache.clear();
    if (of_layers.empty()) of_layers.assign(model_.spec().n_layers, KvCache(model_.spec(), tokens_));
  }
}

void Generator::extend(const std::vector<Ids>& fresh, std::vector<float>& hidden) {
  Ids all;
  for (const Ids& ids : fresh) all.insert(all.end(), ids.begin(), ids.end());
  embed_tokens(model_, all, hidden);
  std::vector<SequenceRows> sequences(fresh.size());
  for (std::uint32_t layer = 0; layer < model_.spec().n_layers; ++layer) {
    stop_if_asked();
    for (std::size_t i = 0; i < fresh.size(); ++i) sequences[i] = {&caches_[i][layer], fresh[i].size()};
    if (layer < layers_.size()) {
      pass_->extend_layer(*layers_[layer], sequences, hidden, context_.threads);
    } else {
      pass_->extend_layer(*pass_->load_layer(layer, loader_, codes_), sequences, hidden, context_.threads);
    }
  }
}

void Generator::visit_logits(std::span<const float> hidden, const std::vector<Wanted>& wanted,
                             const Reader& reader) const {
  struct Row {
    std::size_t sequence, row, step;
  };
  std::vector<Row> rows;
  for (const Wanted& one : wanted) {
    for (std::size_t i = 0; i < one.count; ++i)
      rows.push_back({one.sequence, one.first_row + i, one.first_step + i});
  }
  const std::size_t width = model_.spec().hidden_size, vocab = model_.spec().vocab_size;
  std::vector<float> states, logits;
  for (std::size_t begin = 0; begin < rows.size(); begin += kHeadRows) {
    stop_if_asked();
    const std::size_t count = std::min(kHeadRows, rows.size() - begin);
    states.resize(count * width);
    logits.resize(count * vocab);
    for (std::size_t i = 0; i < count; ++i)
      std::copy_n(hidden.begin() + static_cast<std::ptrdiff_t>(rows[begin + i].row * width), width,
                  states.begin() + static_cast<std::ptrdiff_t>(i * width));
    pass_->extend_head(*head_, states, logits, context_.threads);
    parallel_for(count, std::clamp(count * vocab / kThreadLogits, std::size_t{1}, context_.threads),
                 [&](std::size_t i, std::size_t) {
                   reader(rows[begin + i].sequence, rows[begin + i].step,
                          std::span<const float>(logits).subspan(i * vocab, vocab));
                 });
  }
}

std::vector<std::vector<TokenId>> Generator::write(std::span<const Ids> prompts, std::size_t length,
                                                   const Picker& pick, const Progress& progress) {
  std::vector<Ids> written(prompts.size());
  std::vector<float> hidden;
  for (std::size_t first = 0; first < prompts.size(); first += plan_.sequences) {
    const std::size_t count = std::min(plan_.sequences, prompts.size() - first);
    start(count);
    std::vector<Ids> fresh(prompts.begin() + static_cast<std::ptrdiff_t>(first),
                           prompts.begin() + static_cast<std::ptrdiff_t>(first + count));
    for (std::size_t step = 0; step < length; ++step) {
      extend(fresh, hidden);
      std::vector<Wanted> last;
      for (std::size_t i = 0, rows = 0; i < count; ++i) {
        rows += fresh[i].size();
        last.push_back({i, rows - 1, step, 1});
      }
      visit_logits(hidden, last, [&](std::size_t i, std::size_t at, std::span<const float> logits) {
        fresh[i] = {pick(first + i, at, logits)};
      });
      for (std::size_t i = 0; i < count; ++i) written[first + i].push_back(fresh[i].front());
      progress(count);
    }
  }
  return written;
}

void Generator::read(std::span<const Ids> prompts, std::span<const Ids> continuations, const Reader& reader,
                     const Progress& progress) {
  std::vector<float> hidden;
  for (std::size_t first = 0; first < prompts.size(); first += plan_.sequences) {
    const std::size_t count = std::min(plan_.sequences, prompts.size() - first);
    start(count);
    std::vector<Ids> texts;
    std::vector<Wanted> wanted;
    std::size_t rows = 0, tokens = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const Ids& prompt = prompts[first + i];
      const Ids& continuation = continuations[first + i];
      wanted.push_back({i, rows + prompt.size() - 1, 0, continuation.size()});
      texts.push_back(prompt);  // the last token is only predicted
      texts.back().insert(texts.back().end(), continuation.begin(), continuation.end() - 1);
      rows += texts.back().size();
      tokens += continuation.size();
    }
    extend(texts, hidden);
    visit_logits(hidden, wanted, [&](std::size_t i, std::size_t step, std::span<const float> logits) {
      reader(first + i, step, logits);
    });
    progress(tokens);
  }
}

}  // namespace llmq
