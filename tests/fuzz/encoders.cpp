// The bytes as a row of weights and the importance of its columns, any finite floats: an encoder writes all
// of its row and nothing else, the vector form the reference's bytes, and its blocks can be decoded. The last
// byte chooses the type.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <span>
#include <vector>

#include "llmq/quant/codec.hpp"

#include "fuzz/fuzz.hpp"
#include "quant/reference/families.hpp"

namespace {

constexpr std::size_t kRow = 256;

/// The next floats of the input; what is not finite counts as 0, and so does what is missing.
std::vector<float> take_floats(std::span<const std::uint8_t>& bytes) {
  std::vector<float> values(kRow);
  const std::size_t count = std::min(bytes.size() / sizeof(float), kRow);
  if (count > 0) std::memcpy(values.data(), bytes.data(), count * sizeof(float));
  bytes = bytes.subspan(count * sizeof(float));
  for (float& value : values) {
    if (!std::isfinite(value)) value = 0.0F;
  }
  return values;
}

std::vector<llmq::Codec> encoders() {
  std::vector<llmq::Codec> all;
  std::ranges::copy_if(llmq::codecs(), std::back_inserter(all), [](const llmq::Codec& codec) {
    return codec.encode != nullptr && codec.decode != nullptr;
  });
  return all;
}

/// The readable encoder of a type; null for types that have no other.
llmq::EncodeRow reference_encoder(llmq::GgmlType type) {
  const std::span<const llmq::Codec> families[] = {
      llmq::kPlainCodecs, llmq::kLegacyCodecs,  llmq::kKCodecs,   llmq::kSmallKCodecs,
      llmq::kLevelCodecs, llmq::kTernaryCodecs, llmq::kGridCodecs};
  for (const auto family : families) {
    for (const llmq::Codec& codec : family) {
      if (codec.type == type) return codec.encode;
    }
  }
  return nullptr;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<llmq::Codec> all = encoders();
  if (size == 0) return 0;
  return llmq::fuzz::expect_typed_errors([&] {
    const llmq::GgmlType type = all[data[size - 1] % all.size()].type;
    std::span<const std::uint8_t> rest(data, size - 1);
    const std::vector<float> row = take_floats(rest);
    const bool weighted = rest.size() >= sizeof(float);
    std::vector<float> importance = take_floats(rest);
    for (float& value : importance) value = std::fabs(value);
    const std::size_t bytes = llmq::row_bytes(type, kRow);
    std::vector<std::byte> out(bytes, std::byte{0x00});
    std::vector<std::byte> again(bytes, std::byte{0xFF});
    const auto used = weighted ? std::span<const float>(importance) : std::span<const float>();
    llmq::encode_rows(type, row, kRow, used, out);
    llmq::encode_rows(type, row, kRow, used, again);
    if (out != again) std::abort();  // a byte was left as it was
    reference_encoder(type)(row, used, again);
    if (out != again) std::abort();  // instruction sets differ
    std::vector<float> decoded(kRow);
    llmq::decode_rows(type, out, kRow, decoded);
  });
}
