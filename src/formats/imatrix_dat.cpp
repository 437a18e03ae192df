// llama.cpp's legacy importance matrix: names and mean squares times a call count, little-endian, no magic.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/core/text.hpp"
#include "llmq/formats/imatrix.hpp"

#include "formats/imatrix_foreign.hpp"

namespace llmq {
namespace {

constexpr std::uint64_t kMaxFileBytes = std::uint64_t{4} << 30;
constexpr std::int32_t kMaxNameBytes = 63;
constexpr std::int32_t kMaxEntries = 1 << 20;

class DatReader {
 public:
  DatReader(std::string bytes, std::string path) : bytes_(std::move(bytes)), path_(std::move(path)) {}

  std::size_t left() const noexcept { return bytes_.size() - at_; }
  std::int32_t number(std::string_view what) {
    std::int32_t value = 0;
    take(&value, sizeof value, what);
    return value;
  }
  std::string text(std::int32_t length, std::string_view what) {
    if (length < 0 || static_cast<std::size_t>(length) > left())
      fail(fmt::format("length {} of {} is out of range", length, what));
    std::string value(static_cast<std::size_t>(length), '\0');
    take(value.data(), value.size(), what);
    return value;
  }
  std::vector<float> floats(std::int32_t count) {
    if (count < 1 || static_cast<std::size_t>(count) > left() / sizeof(float))
      fail(fmt::format("{} values do not fit the file", count));
    std::vector<float> values(static_cast<std::size_t>(count));
    take(values.data(), values.size() * sizeof(float), "values");
    return values;
  }
  [[noreturn]] void fail(std::string reason) const {
    throw FormatError(ExitCode::imatrix, path_, at_, std::move(reason),
                      "Make a new one with: llm-quantize analyze MODEL");
  }

 private:
  void take(void* out, std::size_t count, std::string_view what) {
    if (count > left()) fail(fmt::format("file ends inside {}", what));
    std::memcpy(out, bytes_.data() + at_, count);
    at_ += count;
  }

  std::string bytes_;
  std::string path_;
  std::size_t at_ = 0;
};

class DatWriter {
 public:
  void number(std::uint64_t value, std::string_view what) {
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int32_t>::max())) {
      throw Error(ExitCode::imatrix,
                  fmt::format("{} {} is too large for a .dat importance matrix", what, value),
                  "Use --imatrix-format hdf5");
    }
    const auto stored = static_cast<std::int32_t>(value);
    bytes_.append(reinterpret_cast<const char*>(&stored), sizeof stored);
  }
  void text(std::string_view value, std::string_view what) {
    number(value.size(), what);
    bytes_.append(value);
  }
  void floats(const std::vector<float>& values) {
    number(values.size(), "value count");
    bytes_.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
  }
  const std::string& bytes() const noexcept { return bytes_; }

 private:
  std::string bytes_;
};

}  // namespace

bool looks_like_imatrix_dat(const std::filesystem::path& path) noexcept {
  try {
    const File file(path, File::Mode::read);
    std::int32_t head[2] = {};  // entries, length of the first name
    if (file.size() < sizeof head) return false;
    file.read_at(std::as_writable_bytes(std::span(head)), 0);
    return head[0] >= 1 && head[0] <= kMaxEntries && head[1] >= 1 && head[1] <= kMaxNameBytes;
  } catch (const std::exception&) {
    return false;
  }
}

Imatrix read_imatrix_dat(const std::filesystem::path& path) {
  DatReader in(read_file(path, kMaxFileBytes, static_cast<int>(ExitCode::imatrix)), path.string());
  Imatrix imatrix;
  imatrix.counts_are_calls = true;
  const std::int32_t entries = in.number("the entry count");
  if (entries < 1 || entries > kMaxEntries)
    in.fail(fmt::format("is not an importance matrix ({} entries)", entries));
  for (std::int32_t i = 0; i < entries; ++i) {
    const std::int32_t length = in.number("a name length");
    if (length < 1 || length > kMaxNameBytes) in.fail(fmt::format("name length {} is out of range", length));
    const std::string name = in.text(length, "a name");
    if (!is_valid_utf8(name)) in.fail("a name is not UTF-8");
    const std::int32_t calls = in.number("a call count");
    if (calls < 0) in.fail(fmt::format("call count {} is negative", calls));
    const std::vector<float> values = in.floats(in.number("a value count"));
    ImatrixEntry entry;
    entry.in_features = values.size();  // experts are not told apart in this format: one row of values
    // value = mean square * calls: calls is the count whose quotient gives the mean back.
    entry.counts = {static_cast<std::uint64_t>(std::max(calls, 1))};
    for (const float value : values) {
      if (!std::isfinite(value) || value < 0) in.fail(fmt::format("entry {} holds {}", name, value));
      entry.sum_sq.push_back(value);
    }
    if (!imatrix.entries.emplace(name, std::move(entry)).second)
      in.fail(fmt::format("entry {} appears twice", name));
  }
  if (in.left() >= sizeof(std::int32_t)) {
    const std::int32_t chunks = in.number("the chunk count");
    if (chunks < 0) in.fail(fmt::format("chunk count {} is negative", chunks));
    imatrix.samples = static_cast<std::uint64_t>(chunks);
    if (in.left() >= sizeof(std::int32_t)) {
      const std::string dataset = in.text(in.number("a data set name length"), "a data set name");
      imatrix.dataset_name = is_valid_utf8(dataset) ? std::filesystem::path(dataset).filename().string() : "";
    }
  }
  if (in.left() != 0) in.fail("bytes follow the end");
  return imatrix;
}

void write_imatrix_dat(const Imatrix& imatrix, const std::filesystem::path& path) {
  DatWriter out;
  out.number(imatrix.entries.size(), "entry count");
  for (const auto& [name, entry] : imatrix.entries) {
    if (name.empty() || name.size() > static_cast<std::size_t>(kMaxNameBytes)) {
      throw Error(ExitCode::imatrix,
                  fmt::format("the name {} is too long for a .dat importance matrix", name),
                  "Use --imatrix-format hdf5");
    }
    const std::uint64_t calls = foreign::dat_calls(imatrix, entry);
    out.text(name, "name length");
    out.number(calls, "call count");
    out.floats(foreign::round_to_f32(foreign::dat_values(entry, calls), name));
  }
  out.number(imatrix.samples, "chunk count");
  out.text(imatrix.dataset_name, "data set name length");
  write_file_atomically(path, out.bytes());
}

}  // namespace llmq
