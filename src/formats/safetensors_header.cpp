#include "formats/safetensors_header.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "llmq/core/checked.hpp"
#include "llmq/core/error.hpp"
#include "llmq/core/json.hpp"

namespace llmq {
namespace {

using nlohmann::json;

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;
constexpr int kMaxDepth = 4;  // a valid header has 3
constexpr std::size_t kMaxDims = 8;
constexpr const char* kMetadata = "__metadata__";

class HeaderParser {
 public:
  HeaderParser(const File& file, std::uint64_t data_start, std::uint64_t data_bytes)
      : path_(file.path().string()), data_start_(data_start), data_bytes_(data_bytes) {}

  std::vector<SafetensorsTensor> read_tensors(const json& document) const {
    std::vector<SafetensorsTensor> tensors;
    for (const auto& [name, entry] : document.items()) {
      if (name != kMetadata) tensors.push_back(parse_tensor(name, entry));
    }
    check_coverage(tensors);
    return tensors;
  }

  SafetensorsMetadata read_metadata(const json& document) const {
    SafetensorsMetadata metadata;
    const auto entry = document.find(kMetadata);
    if (entry == document.end()) return metadata;
    if (!entry->is_object()) fail("__metadata__ must be an object");
    for (const auto& [key, value] : entry->items()) {
      if (!value.is_string()) fail(fmt::format("__metadata__.{} must be a string", key));
      metadata[key] = value.get<std::string>();
    }
    return metadata;
  }

  [[noreturn]] void fail(std::string reason) const {
    throw FormatError(ExitCode::validation, path_, FormatError::kNoOffset, std::move(reason),
                      "The file is damaged; fetch it again");
  }

 private:
  static std::optional<DType> dtype_from_name(std::string_view name) {
    for (int i = 0; i <= static_cast<int>(DType::F8_E4M3); ++i) {
      if (dtype_name(static_cast<DType>(i)) == name) return static_cast<DType>(i);
    }
    return std::nullopt;
  }

  std::uint64_t whole_number(const std::string& name, const json& value, std::string_view what) const {
    if (!value.is_number_unsigned()) fail(fmt::format("tensor {}: {} must be whole numbers", name, what));
    return value.get<std::uint64_t>();
  }

  SafetensorsTensor parse_tensor(const std::string& name, const json& entry) const {
    if (!entry.is_object() || entry.size() != 3 || !entry.contains("dtype") || !entry.contains("shape") ||
        !entry.contains("data_offsets")) {
      fail(fmt::format("tensor {} must have exactly dtype, shape and data_offsets", name));
    }
    const json& type = entry["dtype"];
    const json& shape = entry["shape"];
    const json& offsets = entry["data_offsets"];
    SafetensorsTensor tensor;
    tensor.name = name;
    const auto dtype = type.is_string() ? dtype_from_name(type.get<std::string>()) : std::nullopt;
    if (!dtype) fail(fmt::format("tensor {} has unknown dtype {}", name, type.dump()));
    tensor.dtype = *dtype;
    if (!shape.is_array() || shape.size() > kMaxDims)
      fail(fmt::format("tensor {}: shape is not a short array", name));
    if (!offsets.is_array() || offsets.size() != 2)
      fail(fmt::format("tensor {}: data_offsets must be two numbers", name));
    std::uint64_t elements = 1;
    try {
      for (const json& extent : shape) {
        tensor.shape.push_back(whole_number(name, extent, "shape"));
        elements = checked_mul(elements, tensor.shape.back(), "element count");
      }
      elements = checked_mul(elements, dtype_bytes(tensor.dtype), "tensor size");
    } catch (const FormatError&) {
      throw;
    } catch (const Error& error) {
      fail(fmt::format("tensor {}: {}", name, error.what()));
    }
    const std::uint64_t begin = whole_number(name, offsets[0], "data_offsets");
    const std::uint64_t end = whole_number(name, offsets[1], "data_offsets");
    if (begin > end || end > data_bytes_)
      fail(fmt::format("tensor {}: data [{}, {}) is not in the file", name, begin, end));
    if (end - begin != elements) {
      fail(
          fmt::format("tensor {}: {} bytes stored, shape and dtype ask for {}", name, end - begin, elements));
    }
    tensor.offset_bytes = data_start_ + begin;
    tensor.size_bytes = end - begin;
    return tensor;
  }

  void check_coverage(const std::vector<SafetensorsTensor>& tensors) const {
    std::vector<const SafetensorsTensor*> order;
    for (const SafetensorsTensor& tensor : tensors) order.push_back(&tensor);
    std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
      return a->offset_bytes != b->offset_bytes ? a->offset_bytes < b->offset_bytes
                                                : a->size_bytes < b->size_bytes;
    });
    std::uint64_t expected = data_start_;
    for (const SafetensorsTensor* tensor : order) {
      if (tensor->offset_bytes != expected)
        fail(fmt::format("tensor {}: data overlaps or leaves a hole", tensor->name));
      expected += tensor->size_bytes;
    }
    if (expected != data_start_ + data_bytes_) {
      fail(fmt::format("tensors end at byte {}, the file at {}", expected, data_start_ + data_bytes_));
    }
  }

  std::string path_;
  std::uint64_t data_start_;
  std::uint64_t data_bytes_;
};

/// The header and where the data begin.
struct Header {
  json document;
  std::uint64_t data_start = 0;
};

Header read_header(const File& file) {
  const std::uint64_t size = file.size();
  const HeaderParser outer(file, 0, 0);
  if (size < kLengthBytes) outer.fail("shorter than its 8-byte length field");
  std::uint64_t length = 0;
  file.read_at(std::as_writable_bytes(std::span(&length, 1)), 0);
  if (length > kMaxHeaderBytes)
    outer.fail(fmt::format("header length {} exceeds {}", length, kMaxHeaderBytes));
  if (length > size - kLengthBytes) outer.fail(fmt::format("header length {} exceeds the file", length));
  std::string text(length, '\0');
  file.read_at(std::as_writable_bytes(std::span(text)), kLengthBytes);
  if (text.empty() || text.front() != '{') outer.fail("header does not begin with \"{\"");
  json document = parse_json_strict(text, file.path().string(), ExitCode::validation, kMaxDepth);
  if (!document.is_object()) outer.fail("header is not a JSON object");
  return {std::move(document), kLengthBytes + length};
}

}  // namespace

std::vector<SafetensorsTensor> read_safetensors_header(const File& file) {
  const Header header = read_header(file);
  const HeaderParser parser(file, header.data_start, file.size() - header.data_start);
  (void)parser.read_metadata(header.document);  // checked, not used
  return parser.read_tensors(header.document);
}

SafetensorsMetadata read_safetensors_metadata(const File& file) {
  const Header header = read_header(file);
  return HeaderParser(file, header.data_start, 0).read_metadata(header.document);
}

}  // namespace llmq
