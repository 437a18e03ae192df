// Prompts in both modes are dealt round robin over the ranks; each rank writes and judges its own. Tokens are
// put into their order before anything is summed. SPDX-License-Identifier: Apache-2.0
#include "llmq/pipeline/coherence.hpp"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"
#include "llmq/embedded/texts.hpp"

#include "pipeline/analyze_grid.hpp"
#include "pipeline/generate.hpp"

namespace llmq {
namespace {

constexpr std::uint64_t kLength = 64;
constexpr std::size_t kExamples = 4;
constexpr WritingMode kModes[] = {WritingMode::greedy, WritingMode::sampled};
constexpr std::size_t kPasses = 3;  // the quantized model writes, the original writes, the original reads

using Clock = std::chrono::steady_clock;
using Ids = std::vector<TokenId>;

/// Prompts as tokens, and how far each is continued. Sequence s is prompt s / 2 in mode s % 2.
struct Task {
  std::vector<std::string> texts;
  std::vector<Ids> prompts;
  std::size_t length = 0;
  std::size_t longest = 0;

  std::size_t sequences() const noexcept { return prompts.size() * std::size(kModes); }
  std::size_t prompt_of(std::size_t sequence) const noexcept { return sequence / std::size(kModes); }
  WritingMode mode_of(std::size_t sequence) const noexcept { return kModes[sequence % std::size(kModes)]; }
  /// Tokens a sequence comes to hold; the last one is never an input.
  std::size_t capacity() const noexcept { return longest + length - 1; }
};

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

/// A short context takes the end of a prompt, at most half of it all, and fewer tokens behind it.
Task make_task(const Tokenizer& tokenizer, std::uint64_t model_context) {
  Task task;
  task.texts = lines_of(embedded_prompts());
  const auto most = static_cast<std::size_t>(std::max<std::uint64_t>(1, model_context / 2));
  const Vocabulary& vocabulary = tokenizer.vocabulary();
  for (const std::string& text : task.texts) {
    Ids ids = tokenizer.encode(text);
    if (tokenizer.adds_bos() && vocabulary.bos) ids.insert(ids.begin(), *vocabulary.bos);
    if (ids.size() > most) ids.erase(ids.begin(), ids.end() - static_cast<std::ptrdiff_t>(most));
    if (ids.empty())
      throw Error(ExitCode::validation, fmt::format("the tokenizer gives no token for \"{}\"", text));
    task.longest = std::max(task.longest, ids.size());
    task.prompts.push_back(std::move(ids));
  }
  task.length = static_cast<std::size_t>(std::min<std::uint64_t>(kLength, model_context - task.longest + 1));
  return task;
}

void check_pair(const NamedModel& original, const NamedModel& quantized) {
  const ModelSpec& a = original.source.spec();
  const ModelSpec& b = quantized.source.spec();
  if (a.vocab_size == b.vocab_size) return;
  throw Error(ExitCode::validation,
              fmt::format("{} and {} are not the same model (vocabulary {} and {})", original.name,
                          quantized.name, a.vocab_size, b.vocab_size),
              "Compare a file with the model it was made from");
}

/// What this rank's sequences come to.
class Writing {
 public:
  Writing(const StageContext& context, const Task& task)
      : context_(context),
        task_(task),
        mine_(samples_of_group(static_cast<std::uint32_t>(context.comm.rank()),
                               static_cast<std::uint32_t>(context.comm.size()), task.sequences())),
        tokens_(mine_.size() * task.length),
        bar_(context.log, "Checking coherence", kPasses * task.sequences() * task.length, "tokens") {
    for (const std::uint64_t sequence : mine_) prompts_.push_back(task.prompts[task.prompt_of(sequence)]);
  }

  void run(const NamedModel& original, const NamedModel& quantized) {
    std::vector<Ids> written;
    {
      Generator generator = make_generator(quantized);
      written = generator.write(
          prompts_, task_.length,
          [&](std::size_t i, std::size_t step, std::span<const float> logits) {
            return token(i, step).written = pick(quantized, i, step, logits);
          },
          progress());
    }
    Generator generator = make_generator(original);
    generator.write(
        prompts_, task_.length,
        [&](std::size_t i, std::size_t step, std::span<const float> logits) {
          CoherenceToken& at = token(i, step);
          at.original = pick(original, i, step, logits);
          at.log_p_original = log_p(logits, at.original, log_normalizer(logits));
          return at.original;
        },
        progress());
    generator.read(
        prompts_, written,
        [&](std::size_t i, std::size_t step, std::span<const float> logits) {
          CoherenceToken& at = token(i, step);
          at.own = pick(original, i, step, logits);
          const double normalizer = log_normalizer(logits);
          at.log_p_written = log_p(logits, at.written, normalizer);
          at.log_p_own = log_p(logits, at.own, normalizer);
        },
        progress());
  }

  /// Collective: all tokens in the order of sequences, on rank 0.
  std::vector<CoherenceToken> gather() {
    bar_.finish();
    const auto gathered =
        context_.comm.gather(std::span<const CoherenceToken>(tokens_), "collect continuations");
    std::vector<CoherenceToken> ordered;
    if (!context_.comm.is_root()) return ordered;
    ordered.resize(task_.sequences() * task_.length);
    const auto ranks = static_cast<std::uint32_t>(context_.comm.size());
    for (std::uint32_t from = 0; from < ranks; ++from) {
      const std::vector<std::uint64_t> theirs = samples_of_group(from, ranks, task_.sequences());
      for (std::size_t i = 0; i < theirs.size(); ++i)
        std::copy_n(gathered[from].begin() + static_cast<std::ptrdiff_t>(i * task_.length), task_.length,
                    ordered.begin() + static_cast<std::ptrdiff_t>(theirs[i] * task_.length));
    }
    return ordered;
  }

 private:
  static double log_p(std::span<const float> logits, TokenId token, double normalizer) {
    return static_cast<double>(logits[static_cast<std::size_t>(token)]) - normalizer;
  }

  CoherenceToken& token(std::size_t i, std::size_t step) { return tokens_[i * task_.length + step]; }

  TokenId pick(const NamedModel& model, std::size_t i, std::size_t step,
               std::span<const float> logits) const {
    const auto sequence = static_cast<std::size_t>(mine_[i]);
    const std::size_t prompt = task_.prompt_of(sequence);
    if (const auto picked = pick_token(logits, task_.mode_of(sequence), {prompt, step})) return *picked;
    throw Error(ExitCode::importance,
                fmt::format("{}: NaN or Inf in the logits at token {} behind prompt {} of {}", model.name,
                            step + 1, prompt + 1, task_.prompts.size()));
  }

  Generator make_generator(const NamedModel& model) const {
    Generator generator(context_, model.source, task_.capacity(), mine_.size());
    const std::size_t layers = model.source.spec().n_layers;
    const GenerationPlan& plan = generator.plan();
    if (plan.resident_layers < layers && !mine_.empty()) {
      const std::size_t turns = (mine_.size() + plan.sequences - 1) / plan.sequences;
      context_.log.status(fmt::format(
          "Note: memory holds {} of {} layers of {}; each of {} steps reads the others again ({} in all)",
          plan.resident_layers, layers, model.name, turns * task_.length,
          format_size(model.source.stored_bytes() / layers * (layers - plan.resident_layers) * turns *
                      task_.length)));
    }
    return generator;
  }

  Generator::Progress progress() {
    return [this](std::size_t tokens) {
      done_ += tokens;
      const double share = static_cast<double>(done_) / static_cast<double>(kPasses * tokens_.size());
      const auto all = static_cast<double>(kPasses * task_.sequences() * task_.length);
      bar_.update(static_cast<std::uint64_t>(share * all), share);
    };
  }

  const StageContext& context_;
  const Task& task_;
  std::vector<std::uint64_t> mine_;  ///< sequences of this rank
  std::vector<Ids> prompts_;
  std::vector<CoherenceToken> tokens_;
  ProgressBar bar_;
  std::size_t done_ = 0;
};

std::vector<Continuation> read_examples(const Task& task, const std::vector<CoherenceToken>& tokens,
                                        const Tokenizer& tokenizer) {
  std::vector<Continuation> examples;
  for (std::size_t sequence = 0; sequence < std::min(kExamples, task.sequences()); ++sequence) {
    Ids original, quantized;
    for (std::size_t step = 0; step < task.length; ++step) {
      original.push_back(tokens[sequence * task.length + step].original);
      quantized.push_back(tokens[sequence * task.length + step].written);
    }
    examples.push_back({task.texts[task.prompt_of(sequence)], task.mode_of(sequence),
                        tokenizer.decode(original), tokenizer.decode(quantized)});
  }
  return examples;
}

}  // namespace

CoherenceResult measure_coherence(const StageContext& context, const NamedModel& original,
                                  const NamedModel& quantized, const Tokenizer& tokenizer) {
  const auto start = Clock::now();
  Task task;
  context.comm.together("read the prompts", [&] {
    check_pair(original, quantized);
    task = make_task(tokenizer,
                     std::min(original.source.spec().context_length, quantized.source.spec().context_length));
  });
  Writing writing(context, task);
  context.comm.together("check coherence", [&] { writing.run(original, quantized); });
  const std::vector<CoherenceToken> tokens = writing.gather();
  CoherenceResult result;
  result.prompts = task.prompts.size();
  result.length = task.length;
  if (context.comm.is_root()) {
    result.figures = coherence_figures(tokens, task.length);
    result.examples = read_examples(task, tokens, tokenizer);
  }
  result.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return result;
}

CoherenceResult run_coherence(const StageContext& context, const std::filesystem::path& original,
                              const std::filesystem::path& quantized) {
  std::unique_ptr<ModelSource> models[2];
  std::unique_ptr<Tokenizer> tokenizer;
  context.comm.together("open the models", [&] {
    models[0] = open_model(original);
    models[1] = open_model(quantized);
    tokenizer = make_tokenizer(models[0]->vocabulary());
  });
  const CoherenceResult result = measure_coherence(context, {*models[0], original.string()},
                                                   {*models[1], quantized.string()}, *tokenizer);
  if (context.comm.is_root()) {
    const CoherenceFigures& figures = result.figures;
    context.log.status(fmt::format("Coherence: {:.2f} (likelihood {:.2f}, repetition {:.2f})", figures.score,
                                   figures.likelihood, figures.repetition));
  }
  return result;
}

void check_coherence_plan(const StageContext& context, const std::filesystem::path& original) {
  const auto model = open_model(original);
  const ModelSpec& spec = model->spec();
  const Task task = make_task(*make_tokenizer(model->vocabulary()), spec.context_length);
  const auto pass = make_short_pass(spec, task.capacity());
  const GenerationDemand demand = generation_demand(spec, *pass, task.capacity(), context.threads);
  require_memory(context, generation_bytes(demand, {1, 0}), "the coherence plan");
}

}  // namespace llmq
