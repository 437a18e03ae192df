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

/// Weights of the objective for one row: docs/formats/blocks.md, "How numbers are chosen". With importance
/// they are the reference's own; without it most types count every weight alike (there the reference weighs
/// by size).
std::vector<float> objective_weights(GgmlType type, std::span<const float> row,
                                     std::span<const float> importance) {
  const auto mean = [&](std::size_t first, std::size_t count) {
    double sum = 0;
    for (const float x : row.subspan(first, count)) sum += static_cast<double>(x) * static_cast<double>(x);
    return static_cast<float>(sum / static_cast<double>(count));
  };
  std::vector<float> weights(row.size(), 1.0F);
  for (std::size_t i = 0; i < row.size(); ++i) {
    const float square = row[i] * row[i];
    const float of_super = mean(i / 256 * 256, 256), of_group = mean(i / 32 * 32, 32);
    const bool weighted = !importance.empty();
    const float a = weighted ? importance[i] : 1;
    switch (type) {
      case GgmlType::Q4_0:
      case GgmlType::Q4_1:
      case GgmlType::Q5_0:
      case GgmlType::Q5_1:
        weights[i] = weighted ? a * std::sqrt(mean(0, row.size()) + square) : 1;
        break;
      case GgmlType::Q2_K:
        weights[i] = weighted ? a * std::sqrt(of_super + square) : 1;
        break;
      case GgmlType::Q4_K:
      case GgmlType::Q5_K:
        weights[i] =
            weighted ? a * std::sqrt(2 * of_super + square) : std::sqrt(of_group) + std::fabs(row[i]);
        break;
      case GgmlType::Q6_K:
        weights[i] = a;
        break;
      case GgmlType::IQ4_NL:
        weights[i] = weighted ? a * std::sqrt(2 * of_group + square) : square;
        break;
      case GgmlType::IQ4_XS:
        weights[i] = weighted ? a * std::sqrt(2 * of_super + square) : square;
        break;
      case GgmlType::Q3_K:
      case GgmlType::IQ2_S:
      case GgmlType::IQ3_XXS:
      case GgmlType::IQ3_S:
      case GgmlType::IQ1_M:
        weights[i] = weighted ? a * std::sqrt(2 * of_super + square) : 1;
        break;
      case GgmlType::IQ2_XXS:
      case GgmlType::IQ2_XS:
        weights[i] = a * std::sqrt(of_super + square);
        break;
      case GgmlType::IQ1_S:
        weights[i] = a * std::sqrt(2 * of_super + square);
        break;
      default:
        break;  // importance is ignored: every weight counts alike
    }
  }
  return weights;
}

/// Error of decoded rows in the objective.
double objective_error(const Case& one, std::span<const float> input, std::span<const float> decoded) {
  const auto stored = read_floats("weights.f32");
  const std::vector<float> ones(kRow, 1.0F);
  std::span<const float> importance;
  if (one.weighting == "w") importance = stored;
  if (one.weighting == "1") importance = ones;
  double error = 0;
  for (std::size_t first = 0; first < input.size(); first += kRow) {
    const auto weights = objective_weights(one.type, input.subspan(first, kRow), importance);
    for (std::size_t i = 0; i < kRow; ++i) {
      const double difference =
          static_cast<double>(input[first + i]) - static_cast<double>(decoded[first + i]);
      error += static_cast<double>(weights[i]) * difference * difference;
    }
  }
  return error;
}

// Rows of a thousand weights scatter by a percent or two, and undoing the shrinking costs the lowest types
// some of what their search wins; over all types and rows the error must be clearly smaller than the
// reference's.
TEST(Codecs, errors_in_the_objective_are_below_the_references) {
  const auto stored = read_floats("weights.f32");
  const std::vector<float> ones(kRow, 1.0F);
  double log_sum = 0;
  int count = 0;
  for (const Case& one : all_cases(true)) {
    const auto input = read_floats("input." + one.kind + ".f32");
    std::span<const float> importance;
    if (one.weighting == "w") importance = stored;
    if (one.weighting == "1") importance = ones;
    std::vector<std::byte> encoded(read_bytes(file_of(one, ".bin")).size());
    encode_rows(one.type, input, kRow, importance, encoded);
    std::vector<float> decoded(input.size());
    decode_rows(one.type, encoded, kRow, decoded);
    const double rounding =
        1e-7 * objective_error(one, input, std::vector<float>(input.size()));  // of halves
    const double ours = objective_error(one, input, decoded);
    const double theirs = objective_error(one, input, read_floats(file_of(one, ".f32")));
    EXPECT_LE(ours, 1.02 * theirs + rounding) << file_of(one, "");
    if (block_type(one.type).block_elems == 1 || one.kind == "edge") continue;
    log_sum += std::log(ours / theirs);
    ++count;
  }
  EXPECT_LT(std::exp(log_sum / count), 0.97);
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
