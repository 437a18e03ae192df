// Reading the head of a GGUF file. Every count is held against the bytes that are left before it is used,
// every product is checked, and offsets must be exactly the running padded sum. docs/formats/gguf.md.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <unordered_set>

#include <fmt/format.h>

#include "llmq/core/checked.hpp"
#include "llmq/core/text.hpp"
#include "llmq/formats/gguf.hpp"

#include "formats/gguf_limits.hpp"

namespace llmq {
namespace {

constexpr std::size_t kWindowBytes = 1 << 20;

/// Sequential reads through a window, so that a head of any size costs few system calls and little memory.
class HeadReader {
 public:
  HeadReader(const File& file, ExitCode code) : file_(file), code_(code), size_(file.size()) {}

  std::uint64_t position() const noexcept { return position_; }
  std::uint64_t left() const noexcept { return size_ - position_; }
  std::uint64_t file_size() const noexcept { return size_; }

  void bytes(void* out, std::uint64_t count, std::string_view what) {
    if (count > left()) fail(fmt::format("file ends inside {}", what));
    auto* to = static_cast<std::byte*>(out);
    while (count > 0) {
      if (position_ < window_start_ || position_ >= window_start_ + window_.size()) refill();
      const std::uint64_t inside = position_ - window_start_;
      const std::uint64_t piece = std::min<std::uint64_t>(count, window_.size() - inside);
      std::memcpy(to, window_.data() + inside, piece);
      to += piece;
      position_ += piece;
      count -= piece;
    }
  }
  template <typename T>
  T value(std::string_view what) {
    T result{};
    bytes(&result, sizeof result, what);
    return result;
  }
  std::string string(std::string_view what, std::uint64_t limit) {
    const auto length = value<std::uint64_t>(what);
    if (length > limit || length > left()) fail(fmt::format("length {} of {} is out of range", length, what));
    std::string text(length, '\0');
    bytes(text.data(), length, what);
    return text;
  }
  [[noreturn]] void fail(std::string reason) const {
    throw FormatError(code_, file_.path().string(), position_, std::move(reason));
  }
  /// The file may well be sound, but is of a kind this program cannot read. An imatrix is never of one.
  [[noreturn]] void unsupported(std::string reason, std::string suggestion) const {
    throw FormatError(code_ == ExitCode::validation ? ExitCode::unsupported_conversion : code_,
                      file_.path().string(), position_, std::move(reason), std::move(suggestion));
  }

 private:
  void refill() {
    window_start_ = position_;
    window_.resize(std::min<std::uint64_t>(kWindowBytes, size_ - position_));
    file_.read_at(window_, position_);
  }

  const File& file_;
  ExitCode code_;
  std::uint64_t size_;
  std::uint64_t position_ = 0;
  std::uint64_t window_start_ = 0;
  std::vector<std::byte> window_;
};

template <typename T>
std::vector<T> read_numbers(HeadReader& in, std::uint64_t count) {
  if (count > in.left() / sizeof(T)) in.fail("array is longer than the file");
  std::vector<T> values(count);
  in.bytes(values.data(), count * sizeof(T), "an array");
  return values;
}

std::uint8_t read_bool(HeadReader& in) {
  const auto byte = in.value<std::uint8_t>("a bool");
  if (byte > 1) in.fail("a bool must be 0 or 1");
  return byte;
}

GgufArray read_array(HeadReader& in) {
  const auto type = in.value<std::uint32_t>("an array type");
  const auto count = in.value<std::uint64_t>("an array length");
  if (count > gguf::kMaxArrayElements) in.fail(fmt::format("array of {} elements is out of range", count));
  switch (static_cast<GgufValueType>(type)) {
    case GgufValueType::U8:
      return read_numbers<std::uint8_t>(in, count);
    case GgufValueType::I8:
      return read_numbers<std::int8_t>(in, count);
    case GgufValueType::U16:
      return read_numbers<std::uint16_t>(in, count);
    case GgufValueType::I16:
      return read_numbers<std::int16_t>(in, count);
    case GgufValueType::U32:
      return read_numbers<std::uint32_t>(in, count);
    case GgufValueType::I32:
      return read_numbers<std::int32_t>(in, count);
    case GgufValueType::F32:
      return read_numbers<float>(in, count);
    case GgufValueType::U64:
      return read_numbers<std::uint64_t>(in, count);
    case GgufValueType::I64:
      return read_numbers<std::int64_t>(in, count);
    case GgufValueType::F64:
      return read_numbers<double>(in, count);
    case GgufValueType::BOOL: {
      GgufBoolArray array{read_numbers<std::uint8_t>(in, count)};
      if (std::any_of(array.values.begin(), array.values.end(), [](std::uint8_t byte) { return byte > 1; })) {
        in.fail("a bool must be 0 or 1");
      }
      return array;
    }
    case GgufValueType::STRING: {
      if (count > in.left() / 8) in.fail("array is longer than the file");
      std::vector<std::string> strings;
      for (std::uint64_t i = 0; i < count; ++i)
        strings.push_back(in.string("a string", gguf::kMaxStringBytes));
      return strings;
    }
    case GgufValueType::ARRAY:
      in.fail("an array of arrays is not allowed");
  }
  in.fail(fmt::format("array element type {} is unknown", type));
}

GgufValue read_value(HeadReader& in) {
  const auto type = in.value<std::uint32_t>("a value type");
  switch (static_cast<GgufValueType>(type)) {
    case GgufValueType::U8:
      return in.value<std::uint8_t>("a value");
    case GgufValueType::I8:
      return in.value<std::int8_t>("a value");
    case GgufValueType::U16:
      return in.value<std::uint16_t>("a value");
    case GgufValueType::I16:
      return in.value<std::int16_t>("a value");
    case GgufValueType::U32:
      return in.value<std::uint32_t>("a value");
    case GgufValueType::I32:
      return in.value<std::int32_t>("a value");
    case GgufValueType::F32:
      return in.value<float>("a value");
    case GgufValueType::BOOL:
      return read_bool(in) != 0;
    case GgufValueType::STRING:
      return in.string("a string", gguf::kMaxStringBytes);
    case GgufValueType::ARRAY:
      return read_array(in);
    case GgufValueType::U64:
      return in.value<std::uint64_t>("a value");
    case GgufValueType::I64:
      return in.value<std::int64_t>("a value");
    case GgufValueType::F64:
      return in.value<double>("a value");
  }
  in.fail(fmt::format("value type {} is unknown", type));
}

void read_pairs(HeadReader& in, std::uint64_t count, GgufHeader& header) {
  if (count > in.left() / gguf::kMinPairBytes)
    in.fail(fmt::format("{} key/value pairs do not fit the file", count));
  std::unordered_set<std::string> seen;
  for (std::uint64_t i = 0; i < count; ++i) {
    std::string key = in.string("a key", gguf::kMaxKeyBytes);
    if (key.empty()) in.fail("a key is empty");
    if (!is_valid_utf8(key)) in.fail("a key is not UTF-8");
    if (!seen.insert(key).second) in.fail(fmt::format("key {} appears twice", key));
    GgufValue value = read_value(in);
    if (key == "general.alignment") {
      const auto* alignment = std::get_if<std::uint32_t>(&value);
      if (alignment == nullptr || *alignment == 0 || (*alignment & (*alignment - 1)) != 0 ||
          *alignment > gguf::kMaxAlignment) {
        in.fail("general.alignment must be a UINT32 power of two");
      }
      header.alignment = *alignment;
    }
    header.metadata.append(std::move(key), std::move(value));
  }
}

GgufTensorInfo read_tensor_info(HeadReader& in) {
  GgufTensorInfo info;
  info.name = in.string("a tensor name", gguf::kMaxNameBytes);
  if (info.name.empty() || !is_valid_utf8(info.name) || info.name.find('\0') != std::string::npos) {
    in.fail("a tensor name is empty, not UTF-8, or holds a NUL byte");
  }
  info.n_dims = in.value<std::uint32_t>("a dimension count");
  if (info.n_dims == 0 || info.n_dims > gguf::kMaxDims) in.fail(fmt::format("{} dimensions", info.n_dims));
  for (std::uint32_t d = 0; d < info.n_dims; ++d) {
    info.ne[d] = in.value<std::uint64_t>("a dimension");
    if (info.ne[d] > gguf::kMaxTensorBytes) in.fail("a dimension is negative or too large");
  }
  const auto id = in.value<std::uint32_t>("a tensor type");
  const auto type = ggml_type_from_id(id);
  if (!type) {
    in.unsupported(
        fmt::format("tensor {} has type {}, which is unknown or removed", info.name, id),
        "Another program's own type, or a damaged file: use one with the types of docs/formats/blocks.md");
  }
  info.type = *type;
  info.offset_bytes = in.value<std::uint64_t>("a tensor offset");
  try {
    std::uint64_t rows = 1;
    for (std::uint32_t d = 1; d < gguf::kMaxDims; ++d) rows = checked_mul(rows, info.ne[d], "tensor size");
    checked_mul(rows, info.ne[0], "tensor size");
    info.size_bytes = checked_mul(rows, row_bytes(info.type, info.ne[0]), "tensor size");
  } catch (const Error& error) {
    in.fail(fmt::format("tensor {}: {}", info.name, error.what()));
  }
  if (info.size_bytes > gguf::kMaxTensorBytes) in.fail(fmt::format("tensor {} is too large", info.name));
  return info;
}

void read_tensor_infos(HeadReader& in, std::uint64_t count, GgufHeader& header) {
  if (count > in.left() / gguf::kMinTensorInfoBytes)
    in.fail(fmt::format("{} tensors do not fit the file", count));
  std::unordered_set<std::string> seen;
  std::uint64_t expected = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    GgufTensorInfo info = read_tensor_info(in);
    if (!seen.insert(info.name).second) in.fail(fmt::format("tensor {} appears twice", info.name));
    if (info.offset_bytes != expected) {
      in.fail(fmt::format("tensor {} is at offset {}, expected {}", info.name, info.offset_bytes, expected));
    }
    expected = align_up(checked_add(expected, info.size_bytes, "data size"), header.alignment);
    header.tensors.push_back(std::move(info));
  }
}

void check_data_fits(HeadReader& in, GgufHeader& header) {
  header.data_start = header.tensors.empty() ? in.position() : align_up(in.position(), header.alignment);
  if (header.tensors.empty()) return;
  const GgufTensorInfo& last = header.tensors.back();
  const std::uint64_t end = checked_add(checked_add(header.data_start, last.offset_bytes, "file size"),
                                        last.size_bytes, "file size");
  if (end > in.file_size()) {
    in.fail(fmt::format("tensor data ends at byte {}, the file at {}: it is truncated", end, in.file_size()));
  }
}

GgufHeader read_header(const File& file, ExitCode code) {
  HeadReader in(file, code);
  GgufHeader header;
  char magic[4] = {};
  in.bytes(magic, sizeof magic, "the magic");
  if (std::memcmp(magic, gguf::kMagic, sizeof magic) != 0) in.fail("does not start with GGUF");
  header.version = in.value<std::uint32_t>("the version");
  if (header.version != 0 && (header.version & 0xFFFFu) == 0)
    in.fail("is big-endian; only little-endian files are supported");
  if (header.version != 2 && header.version != gguf::kVersion) {
    in.fail(fmt::format("GGUF version {} is not supported (2 and 3 are)", header.version));
  }
  const auto tensor_count = in.value<std::uint64_t>("the tensor count");
  const auto pair_count = in.value<std::uint64_t>("the key/value count");
  header.alignment = gguf::kDefaultAlignment;
  read_pairs(in, pair_count, header);
  read_tensor_infos(in, tensor_count, header);
  check_data_fits(in, header);
  return header;
}

}  // namespace

const GgufTensorInfo* GgufHeader::find(std::string_view name) const noexcept {
  for (const GgufTensorInfo& tensor : tensors) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

GgufFile::GgufFile(const std::filesystem::path& path, ExitCode format_code)
    : file_(path, File::Mode::read, static_cast<int>(ExitCode::model_not_found)) {
  try {
    header_ = read_header(file_, format_code);
  } catch (const FormatError&) {
    throw;
  } catch (const Error& error) {
    // Overflow checks do not know the file; say which it was.
    throw FormatError(format_code, path.string(), FormatError::kNoOffset, error.what());
  }
}

bool has_gguf_magic(const std::filesystem::path& path) noexcept {
  try {
    const File file(path, File::Mode::read);
    char magic[4] = {};
    if (file.size() < sizeof magic) return false;
    file.read_at(std::as_writable_bytes(std::span(magic)), 0);
    return std::memcmp(magic, gguf::kMagic, sizeof magic) == 0;
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace llmq
