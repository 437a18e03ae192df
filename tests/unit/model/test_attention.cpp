// Attention against its definition in double precision: groups of one and many heads, blocks that do not
// divide the tokens, and one query alone.
#include <cmath>
#include <dlfcn.h>
#include <random>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "model/torch/attention.hpp"
#include "model/torch/matmul.hpp"

namespace {
using namespace llmq::torch_pass;

struct Case {
  AttentionShape shape;
  std::vector<float> qkv;
};

Case make_case(std::size_t tokens, std::size_t heads, std::size_t kv_heads, std::size_t head_dim) {
  Case made{{tokens, heads, kv_heads, head_dim}, {}};
  std::mt19937 random(9);
  std::normal_distribution<float> draw(0, 1.5F);
  for (std::size_t i = 0; i < tokens * made.shape.qkv_width(); ++i) made.qkv.push_back(draw(random));
  return made;
}

Case windowed(Case given, std::size_t window) {
  given.shape.window = window;
  return given;
}
Case capped(Case given, float cap) {
  given.shape.softcap = cap;
  return given;
}

std::vector<float> attend(const Case& given) {
  // Frequency 0 leaves heads as they are: rotation has a test of its own.
  const Rope rope(std::vector<float>(given.shape.head_dim / 2, 0.0F), given.shape.tokens);
  std::vector<float> qkv = given.qkv, out(given.shape.tokens * given.shape.heads * given.shape.head_dim);
  AttentionScratch scratch;
  attention(given.shape, rope, qkv.data(), out.data(), scratch);
  EXPECT_LE(scratch.stacked.size() + scratch.scores.size() + scratch.inverse_sums.size(),
            scratch_values(given.shape));
  return out;
}

std::vector<double> plain_attention(const Case& given) {
  const AttentionShape& shape = given.shape;
  const std::size_t tokens = shape.tokens, heads = shape.heads, kv_heads = shape.kv_heads,
                    dim = shape.head_dim;
  const std::size_t stride = given.shape.qkv_width();
  std::vector<double> out;
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t head = 0; head < heads; ++head) {
      const float* query = &given.qkv[t * stride + head * dim];
      const std::size_t key_at = (heads + head / (heads / kv_heads)) * dim;
      std::vector<double> weights(t + 1);
      double total = 0;
      for (std::size_t s = 0; s <= t; ++s) {
        double dot = 0;
        for (std::size_t c = 0; c < dim; ++c)
          dot += static_cast<double>(query[c]) * given.qkv[s * stride + key_at + c];
        double score = dot / std::sqrt(static_cast<double>(dim));
        const auto cap = static_cast<double>(shape.softcap);
        if (cap > 0) score = cap * std::tanh(score / cap);
        const bool sees = shape.window == 0 || t - s < shape.window;
        total += weights[s] = sees ? std::exp(score) : 0;
      }
      for (std::size_t c = 0; c < dim; ++c) {
        double sum = 0;
        for (std::size_t s = 0; s <= t; ++s)
          sum += weights[s] * given.qkv[s * stride + key_at + kv_heads * dim + c];
        out.push_back(sum / total);
      }
    }
  }
  return out;
}

class Attention : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    ASSERT_NE(::dlopen("libblas.so.3", RTLD_NOW | RTLD_GLOBAL), nullptr);
    open_blas();
  }
};

TEST_F(Attention, equals_its_definition_for_groups_of_any_size) {
  for (const Case& given :
       {make_case(1, 4, 2, 8), make_case(300, 4, 4, 8), make_case(130, 6, 2, 16), make_case(77, 16, 2, 32),
        make_case(65, 32, 1, 8), make_case(200, 12, 1, 64), windowed(make_case(300, 8, 2, 16), 1),
        windowed(make_case(300, 8, 2, 16), 100), windowed(make_case(90, 4, 4, 16), 500),
        capped(make_case(150, 8, 2, 16), 4), windowed(capped(make_case(260, 6, 3, 8), 2), 30)}) {
    const std::vector<float> got = attend(given);

    const std::vector<double> wanted = plain_attention(given);
    ASSERT_EQ(got.size(), wanted.size());
    double worst = 0;
    for (std::size_t i = 0; i < got.size(); ++i)
      worst = std::max(worst, std::fabs(static_cast<double>(got[i]) - wanted[i]));
    // Scores of some 10 carry f32 errors of 1e-6; a result moves by as much of values of some 3.
    EXPECT_LT(worst, 1e-5) << given.shape.tokens << " tokens, " << given.shape.heads << " heads";
  }
}

TEST_F(Attention, bits_do_not_depend_on_threads) {
  const Case given = make_case(300, 8, 2, 64);
  const std::vector<float> alone = attend(given);

  std::vector<std::vector<float>> together(6);
  std::vector<std::thread> threads;
  for (auto& out : together) threads.emplace_back([&out, &given] { out = attend(given); });
  for (std::thread& thread : threads) thread.join();

  for (const auto& out : together) EXPECT_EQ(out, alone);
}

}  // namespace
