// Codecs against the vectors of tests/data/vectors/blocks: decoding bit for bit, encoding by bytes and by
// error.
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/quant/codec.hpp"

namespace {
using namespace llmq;
namespace fs = std::filesystem;

constexpr std::uint64_t kRow = 512;

fs::path vectors() { return fs::path(LLMQ_TEST_DATA) / "vectors/blocks"; }

std::vector<std::byte> read_bytes(const std::string& name) {
  const std::string text = read_file(vectors() / name, 1 << 20);
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}
std::vector<float> read_floats(const std::string& name) {
  const auto bytes = read_bytes(name);
  std::vector<float> values(bytes.size() / 4);
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

double weighted_error(std::span<const float> x, std::span<const float> y, std::span<const float> weights) {
  double error = 0, total = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double w = weights.empty() ? 1.0 : static_cast<double>(weights[i % kRow]);
    error += w * std::pow(static_cast<double>(x[i]) - static_cast<double>(y[i]), 2);
    total += w * std::pow(static_cast<double>(x[i]), 2);
  }
  return std::sqrt(error / total);
}

struct Case {
  GgmlType type;
  std::string kind;
  std::string weighting;  // "u" without, "w" with importance, "1" with ones
};

std::string file_of(const Case& one, const char* extension) {
  return std::string(type_name(one.type)) + "." + one.kind + "." + one.weighting + extension;
}

/// Every stored row of every type; those that can be encoded here only, if asked.
std::vector<Case> all_cases(bool encodable_only = false) {
  std::vector<Case> cases;
  for (const Codec& codec : codecs()) {
    if (codec.type == GgmlType::F32 || (encodable_only && codec.encode == nullptr)) continue;
    for (const char* kind : {"gauss", "heavy", "edge"}) {
      for (const char* weighting : {"u", "1", "w"}) {
        const Case one{codec.type, kind, weighting};
        if (fs::exists(vectors() / file_of(one, ".bin"))) cases.push_back(one);
      }
    }
  }
  return cases;
}

TEST(Codecs, decoding_equals_the_vectors_bit_for_bit) {
  for (const Case& one : all_cases()) {
    const auto expected = read_floats(file_of(one, ".f32"));
    std::vector<float> decoded(expected.size());
    decode_rows(one.type, read_bytes(file_of(one, ".bin")), kRow, decoded);
    EXPECT_EQ(std::memcmp(decoded.data(), expected.data(), expected.size() * 4), 0) << file_of(one, "");
  }
}

TEST(Codecs, random_payload_decodes_bit_for_bit) {
  for (const Codec& codec : codecs()) {
    if (codec.type == GgmlType::F32) continue;
    const std::string name = "random." + std::string(type_name(codec.type));
    const auto expected = read_floats(name + ".f32");
    std::vector<float> decoded(expected.size());
    decode_rows(codec.type, read_bytes(name + ".bin"), expected.size(), decoded);
    EXPECT_EQ(std::memcmp(decoded.data(), expected.data(), expected.size() * 4), 0) << name;
  }
}

TEST(Codecs, errors_are_at_most_a_thousandth_above_the_reference) {
  const auto importance = read_floats("weights.f32");
  for (const Case& one : all_cases(true)) {
    const auto input = read_floats("input." + one.kind + ".f32");
    const std::span<const float> weights =
        one.weighting == "w" ? std::span<const float>(importance) : std::span<const float>();
    const auto reference = read_floats(file_of(one, ".f32"));
    std::vector<std::byte> encoded(read_bytes(file_of(one, ".bin")).size());
    encode_rows(one.type, input, kRow, weights, encoded);
    std::vector<float> decoded(input.size());
    decode_rows(one.type, encoded, kRow, decoded);
    EXPECT_LE(weighted_error(input, decoded, {}), weighted_error(input, reference, {}) * 1.001 + 1e-9)
        << file_of(one, "");
    EXPECT_LE(weighted_error(input, decoded, weights),
              weighted_error(input, reference, weights) * 1.001 + 1e-9)
        << file_of(one, "");
  }
}

TEST(Codecs, bytes_equal_the_reference_except_degenerate_blocks) {
  const auto importance = read_floats("weights.f32");
  for (const Case& one : all_cases(true)) {
    const auto input = read_floats("input." + one.kind + ".f32");
    const auto reference = read_bytes(file_of(one, ".bin"));
    std::vector<std::byte> encoded(reference.size());
    encode_rows(one.type, input, kRow,
                one.weighting == "w" ? std::span<const float>(importance) : std::span<const float>(),
                encoded);
    const std::size_t block = block_type(one.type).block_bytes;
    std::size_t differing = 0;
    for (std::size_t at = 0; at < reference.size(); at += block) {
      differing += std::memcmp(encoded.data() + at, reference.data() + at, block) != 0 ? 1u : 0u;
    }
    // All-zero blocks of the edge rows may differ in the sign of a zero or in codes below a zero scale.
    EXPECT_LE(differing, one.kind == "edge" ? 1u : 0u) << file_of(one, "");
  }
}

TEST(Codecs, hard_rows_never_give_nan_or_infinity) {
  const float denormal = std::numeric_limits<float>::denorm_min();
  std::vector<std::vector<float>> rows(7, std::vector<float>(256, 0.0F));
  for (std::size_t i = 0; i < 256; ++i) {
    rows[1][i] = denormal * static_cast<float>(i);
    rows[2][i] = (i % 2 == 0 ? 1.0F : -1.0F) * 3e38F;
    rows[3][i] = i == 77 ? 1e9F : 1e-9F;
    rows[4][i] = 0.25F;
    rows[5][i] = static_cast<float>(i) * 1e-8F;
    rows[6][i] = i < 128 ? 0.0F : 7e4F;
  }
  std::vector<float> dead(256, 0.0F);
  std::vector<float> half_dead(256, 0.0F);
  for (std::size_t i = 128; i < 256; ++i) half_dead[i] = 1.0F;
  for (const Codec& codec : codecs()) {
    if (block_type(codec.type).block_elems == 1 || codec.encode == nullptr) continue;
    for (std::size_t index = 0; index < rows.size(); ++index) {
      for (const auto& importance : {std::vector<float>(), dead, half_dead}) {
        std::vector<std::byte> encoded(row_bytes(codec.type, 256));
        encode_rows(codec.type, rows[index], 256, importance, encoded);
        std::vector<float> decoded(256);
        decode_rows(codec.type, encoded, 256, decoded);
        for (const float value : decoded) {
          ASSERT_TRUE(std::isfinite(value)) << type_name(codec.type) << " row " << index;
        }
        if (index == 0) {
          EXPECT_EQ(decoded, rows[0]);
        }
      }
    }
  }
}

TEST(Codecs, dead_columns_still_get_sensible_values) {
  const auto input = read_floats("input.gauss.f32");
  const std::vector<float> dead(kRow, 0.0F);
  for (const GgmlType type : {GgmlType::Q4_0, GgmlType::Q4_K, GgmlType::Q5_K, GgmlType::Q6_K}) {
    std::vector<std::byte> encoded(2 * row_bytes(type, kRow));
    encode_rows(type, input, kRow, dead, encoded);
    std::vector<float> decoded(input.size());
    decode_rows(type, encoded, kRow, decoded);
    EXPECT_LT(weighted_error(input, decoded, {}), 0.1) << type_name(type);
  }
}

TEST(Codecs, sizes_that_do_not_fit_are_refused) {
  std::vector<float> row(100);
  std::vector<std::byte> out(144);
  EXPECT_THROW(encode_rows(GgmlType::Q4_K, row, 100, {}, out), Error);
  EXPECT_THROW(encode_rows(GgmlType::F16, row, 100, {}, out), InternalError);
  EXPECT_THROW(decode_rows(GgmlType::I32, out, 100, row), Error);
  EXPECT_THROW(encode_rows(GgmlType::Q1_0, row, 100, {}, out), Error);
}

}  // namespace
