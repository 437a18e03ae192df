// Sequences extended token by token: the same numbers as the pass over whole samples, and bits that depend on
// the sequence alone.
#include <algorithm>
#include <cmath>
#include <optional>

#include <gtest/gtest.h>

#include "llmq/core/error.hpp"
#include "llmq/model/forward.hpp"
#include "llmq/model/source.hpp"

#include "plain_model.hpp"
#include "support/every_target.hpp"

namespace {
using namespace llmq;
using namespace llmq::testing_support;
using Ids = std::vector<std::int32_t>;

/// All layers and the head of a model, and the caches of the sequences that go through them.
class Extension {
 public:
  Extension(const ModelSpec& spec, const WeightLoader& weights, std::size_t threads)
      : spec_(spec), pass_(make_forward_pass(spec)), threads_(threads) {
    embedding_ = pass_->load_embedding(weights);
    for (std::uint32_t layer = 0; layer < spec.n_layers; ++layer)
      layers_.push_back(pass_->load_layer(layer, weights));
    head_ = pass_->load_head(weights);
  }

  /// Starts `count` sequences of at most `capacity` tokens.
  void start(std::size_t count, std::size_t capacity) {
    caches_.assign(count, std::vector<KvCache>(spec_.n_layers, KvCache(spec_, capacity)));
  }

  /// Logits of all new tokens, sequence after sequence; a sequence may get none.
  Values extend(const std::vector<Ids>& fresh) {
    Ids all;
    for (const Ids& ids : fresh) all.insert(all.end(), ids.begin(), ids.end());
    Values hidden(all.size() * spec_.hidden_size), logits(all.size() * spec_.vocab_size);
    pass_->embed(*embedding_, all, hidden);
    for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
      std::vector<SequenceRows> sequences;
      for (std::size_t i = 0; i < fresh.size(); ++i)
        sequences.push_back({&caches_[i][layer], fresh[i].size()});
      pass_->extend_layer(*layers_[layer], sequences, hidden, threads_);
    }
    pass_->extend_head(*head_, hidden, logits, threads_);
    return logits;
  }

  /// The same by run_layer and run_head.
  Values whole(const Ids& ids) const {
    Values hidden(ids.size() * spec_.hidden_size), logits(ids.size() * spec_.vocab_size);
    pass_->embed(*embedding_, ids, hidden);
    for (const auto& layer : layers_) pass_->run_layer(*layer, hidden, {});
    pass_->run_head(*head_, hidden, logits);
    return logits;
  }

 private:
  const ModelSpec& spec_;
  std::unique_ptr<ForwardPass> pass_;
  std::size_t threads_;
  std::unique_ptr<LayerWeights> embedding_, head_;
  std::vector<std::unique_ptr<LayerWeights>> layers_;
  std::vector<std::vector<KvCache>> caches_;
};

void expect_near(const Values& got, const Values& wanted, double share) {
  ASSERT_EQ(got.size(), wanted.size());
  double largest = 0, worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(wanted[i])));
    worst = std::max(worst, std::abs(static_cast<double>(got[i]) - static_cast<double>(wanted[i])));
  }
  EXPECT_LT(worst, share * largest);
}

/// One sequence alone: `first` tokens at once, the others one by one.
Values step_by_step(Extension& extension, const Ids& ids, std::size_t first) {
  extension.start(1, ids.size());
  Values all = extension.extend({Ids(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(first))});
  for (std::size_t t = first; t < ids.size(); ++t) {
    const Values row = extension.extend({{ids[t]}});
    all.insert(all.end(), row.begin(), row.end());
  }
  return all;
}

TEST(Extend, equals_the_pass_over_whole_samples) {
  for (const auto& [architecture, spec] : small_specs()) {
    SCOPED_TRACE(architecture);
    const Weights weights(spec.post_norms);  // some are tied
    Extension extension(spec, std::cref(weights), 1);
    const Ids ids = some_ids(150, spec.vocab_size);
    expect_near(step_by_step(extension, ids, 9), extension.whole(ids), 1e-5);
  }
}

TEST(Extend, equals_the_pass_on_a_trained_model) {
  const auto model = open_model(std::string(LLMQ_TEST_DATA) + "/pebble");
  Extension extension(model->spec(), make_weight_loader(*model), 2);
  const Ids ids = some_ids(100, model->spec().vocab_size);
  expect_near(step_by_step(extension, ids, 12), extension.whole(ids), 1e-4);
}

/// Seven sequences of different lengths beside each other; the logits of each by itself.
std::vector<Values> together(Extension& extension, const std::vector<Ids>& texts, std::size_t first,
                             std::size_t vocab) {
  extension.start(texts.size(), 64);
  std::vector<Values> all(texts.size());
  for (std::size_t begin = 0;; begin = begin == 0 ? first : begin + 1) {
    std::vector<Ids> fresh;
    std::size_t left = 0;
    for (const Ids& text : texts) {
      const std::size_t from = std::min(begin, text.size()),
                        to = std::min(begin == 0 ? first : begin + 1, text.size());
      fresh.emplace_back(text.begin() + static_cast<std::ptrdiff_t>(from),
                         text.begin() + static_cast<std::ptrdiff_t>(to));
      left += fresh.back().size();
    }
    if (left == 0) return all;
    const Values logits = extension.extend(fresh);
    std::size_t row = 0;
    for (std::size_t i = 0; i < texts.size(); row += fresh[i].size(), ++i)
      all[i].insert(all[i].end(), logits.begin() + static_cast<std::ptrdiff_t>(row * vocab),
                    logits.begin() + static_cast<std::ptrdiff_t>((row + fresh[i].size()) * vocab));
  }
}

TEST(Extend, bits_depend_on_the_sequence_alone) {
  const auto model = open_model(std::string(LLMQ_TEST_DATA) + "/pebble");
  const ModelSpec& spec = model->spec();
  std::vector<Ids> texts;
  for (std::size_t i = 0; i < 7; ++i) {
    texts.push_back(some_ids(20 + 5 * i, spec.vocab_size));
    texts.back()[0] = static_cast<std::int32_t>(i);
  }
  std::optional<std::vector<Values>> alone;
  test::for_every_target([&](const std::string& target) {
    for (const std::size_t threads : {std::size_t{1}, std::size_t{2}}) {
      Extension extension(spec, make_weight_loader(*model), threads);
      if (!alone) {
        alone.emplace();
        for (const Ids& text : texts) alone->push_back(step_by_step(extension, text, 10));
      }
      EXPECT_EQ(together(extension, texts, 10, spec.vocab_size), *alone)
          << target << ", " << threads << " threads";
      // More rows than go through a layer at once, and a sequence that is cut for it.
      extension.start(texts.size(), 64);
      Values whole;
      for (const Values& text : *alone) whole.insert(whole.end(), text.begin(), text.end());
      EXPECT_EQ(extension.extend(texts), whole) << target << ", " << threads << " threads";
    }
  });
}

TEST(Extend, a_full_cache_is_refused) {
  const ModelSpec spec = small_spec();
  const Weights weights(false);
  Extension extension(spec, std::cref(weights), 1);
  extension.start(1, 4);
  extension.extend({some_ids(3, spec.vocab_size)});
  EXPECT_THROW(extension.extend({some_ids(2, spec.vocab_size)}), InternalError);
}

}  // namespace
