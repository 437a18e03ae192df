// llama.cpp's GGUF importance matrix: raw sums and counts as F32 tensors.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstring>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/formats/gguf.hpp"
#include "llmq/formats/imatrix.hpp"

#include "formats/gguf_limits.hpp"
#include "formats/imatrix_foreign.hpp"

namespace llmq {
namespace {

constexpr std::string_view kSquareSuffix = ".in_sum2";
constexpr std::string_view kSumSuffix = ".in_sum";  // signed; readers that do not know it pass it over
constexpr std::string_view kCountSuffix = ".counts";

[[noreturn]] void fail(const std::filesystem::path& path, std::string reason) {
  throw FormatError(ExitCode::imatrix, path.string(), FormatError::kNoOffset, std::move(reason),
                    "Make a new one with: llm-quantize analyze MODEL");
}

std::vector<float> read_values(const GgufFile& file, const GgufTensorInfo& info,
                               const std::filesystem::path& path, bool non_negative = true) {
  if (info.type != GgmlType::F32) fail(path, fmt::format("tensor {} is not F32", info.name));
  std::vector<float> values(info.elements());
  file.file().read_at(std::as_writable_bytes(std::span(values)), file.data_offset(info));
  for (const float value : values) {
    if (!std::isfinite(value) || (non_negative && value < 0))
      fail(path, fmt::format("tensor {} holds {}", info.name, value));
  }
  return values;
}

ImatrixEntry read_entry(const GgufFile& file, const GgufTensorInfo& squares, const std::string& name,
                        const std::filesystem::path& path) {
  const GgufTensorInfo* counts = file.header().find(name + std::string(kCountSuffix));
  if (counts == nullptr) fail(path, fmt::format("{} has no counts", name));
  ImatrixEntry entry;
  entry.in_features = squares.ne[0];
  entry.n_mat = squares.rows();
  const std::vector<float> raw = read_values(file, squares, path);
  const std::vector<float> rows = read_values(file, *counts, path);
  if (entry.in_features == 0 || entry.n_mat == 0 || rows.empty() ||
      (rows.size() != entry.n_mat && rows.size() != 1)) {
    fail(path, fmt::format("sizes of {} and its counts do not fit", squares.name));
  }
  entry.sum_sq.assign(raw.begin(), raw.end());
  for (std::uint64_t mat = 0; mat < entry.n_mat; ++mat) {
    const float count = rows[rows.size() == 1 ? 0 : mat];
    if (count >= 0x1p62F) fail(path, fmt::format("count {} of {} is out of range", count, squares.name));
    entry.counts.push_back(static_cast<std::uint64_t>(std::llround(count)));
  }
  if (const GgufTensorInfo* sums = file.header().find(name + std::string(kSumSuffix)); sums != nullptr) {
    const std::vector<float> values = read_values(file, *sums, path, false);
    if (values.size() != raw.size())
      fail(path, fmt::format("sizes of {} and {} do not fit", squares.name, sums->name));
    entry.sum.assign(values.begin(), values.end());
  }
  return entry;
}

/// A tensor of the file to be written, and its values.
struct NamedValues {
  std::string name;
  std::uint64_t rows;
  std::vector<float> values;
};

std::vector<NamedValues> tensors_of(const Imatrix& imatrix) {
  std::vector<NamedValues> tensors;
  for (const auto& [name, entry] : imatrix.entries) {
    if (name.empty() || name.size() + kSquareSuffix.size() > gguf::kMaxNameBytes) {
      throw Error(ExitCode::imatrix,
                  fmt::format("the name {} is too long for a GGUF importance matrix", name),
                  "Use --imatrix-format hdf5");
    }
    const foreign::Figures figures = foreign::gguf_figures(entry);
    tensors.push_back(
        {name + std::string(kSquareSuffix), entry.n_mat, foreign::round_to_f32(figures.values, name)});
    tensors.push_back(
        {name + std::string(kCountSuffix), entry.n_mat, foreign::round_to_f32(figures.counts, name)});
    // Beside sensitivities a sum of inputs would belong to other squares.
    if (entry.sum.empty() || !foreign::holds_squares(entry)) continue;
    tensors.push_back({name + std::string(kSumSuffix), entry.n_mat, foreign::round_to_f32(entry.sum, name)});
  }
  return tensors;
}

GgufHeader make_header(const Imatrix& imatrix, const std::vector<NamedValues>& tensors) {
  if (!std::in_range<std::uint32_t>(imatrix.samples) || !std::in_range<std::uint32_t>(imatrix.ctx)) {
    throw Error(ExitCode::imatrix,
                fmt::format("{} samples of {} tokens are too many for a GGUF importance matrix",
                            imatrix.samples, imatrix.ctx),
                "Use --imatrix-format hdf5");
  }
  std::vector<std::string> datasets;
  if (!imatrix.dataset_name.empty()) datasets.push_back(imatrix.dataset_name);
  GgufHeader header;
  header.metadata.set("general.type", std::string("imatrix"));
  header.metadata.set("imatrix.datasets", GgufArray(datasets));
  header.metadata.set("imatrix.chunk_count", static_cast<std::uint32_t>(imatrix.samples));
  header.metadata.set("imatrix.chunk_size", static_cast<std::uint32_t>(imatrix.ctx));
  for (const NamedValues& tensor : tensors) {
    GgufTensorInfo info;
    info.name = tensor.name;
    info.n_dims = 2;
    info.ne = {tensor.values.size() / tensor.rows, tensor.rows, 1, 1};
    header.tensors.push_back(std::move(info));
  }
  return header;
}

}  // namespace

Imatrix read_imatrix_gguf(const std::filesystem::path& path) {
  const GgufFile file(path, ExitCode::imatrix);
  const GgufMetadata& metadata = file.header().metadata;
  if (metadata.string("general.type") != "imatrix")
    fail(path, "is a GGUF file, but not an importance matrix");
  const auto chunks = metadata.integer("imatrix.chunk_count");
  const auto chunk_size = metadata.integer("imatrix.chunk_size");
  const auto* datasets = metadata.strings("imatrix.datasets");
  if (!chunks || *chunks < 0 || !chunk_size || *chunk_size < 0 || datasets == nullptr) {
    fail(path, "imatrix.datasets, imatrix.chunk_count or imatrix.chunk_size is missing");
  }
  Imatrix imatrix;
  imatrix.samples = static_cast<std::uint64_t>(*chunks);
  imatrix.ctx = static_cast<std::uint64_t>(*chunk_size);
  if (!datasets->empty()) imatrix.dataset_name = std::filesystem::path(datasets->front()).filename().string();
  for (const GgufTensorInfo& info : file.header().tensors) {
    if (!info.name.ends_with(kSquareSuffix)) continue;
    const std::string name = info.name.substr(0, info.name.size() - kSquareSuffix.size());
    imatrix.entries[name] = read_entry(file, info, name, path);
  }
  if (imatrix.entries.empty()) fail(path, "holds no entry");
  return imatrix;
}

void write_imatrix_gguf(const Imatrix& imatrix, const std::filesystem::path& path) {
  const std::vector<NamedValues> tensors = tensors_of(imatrix);
  GgufHeader header = make_header(imatrix, tensors);
  std::string bytes(plan_gguf(header), '\0');
  const std::vector<std::byte> head = encode_gguf_head(header);
  std::memcpy(bytes.data(), head.data(), head.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    std::memcpy(bytes.data() + header.data_start + header.tensors[i].offset_bytes, tensors[i].values.data(),
                tensors[i].values.size() * sizeof(float));
  }
  write_file_atomically(path, bytes);
}

}  // namespace llmq
