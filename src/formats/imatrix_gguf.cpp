// llama.cpp's GGUF importance matrix: raw sums and counts as F32 tensors.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <filesystem>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/formats/gguf.hpp"
#include "llmq/formats/imatrix.hpp"

namespace llmq {
namespace {

constexpr std::string_view kSumSuffix = ".in_sum2";
constexpr std::string_view kCountSuffix = ".counts";

[[noreturn]] void fail(const std::filesystem::path& path, std::string reason) {
  throw FormatError(ExitCode::imatrix, path.string(), FormatError::kNoOffset, std::move(reason),
                    "Make a new one with: llm-quantize analyze MODEL");
}

std::vector<float> read_values(const GgufFile& file, const GgufTensorInfo& info,
                               const std::filesystem::path& path) {
  if (info.type != GgmlType::F32) fail(path, fmt::format("tensor {} is not F32", info.name));
  std::vector<float> values(info.elements());
  file.file().read_at(std::as_writable_bytes(std::span(values)), file.data_offset(info));
  for (const float value : values) {
    if (!std::isfinite(value) || value < 0) fail(path, fmt::format("tensor {} holds {}", info.name, value));
  }
  return values;
}

ImatrixEntry read_entry(const GgufFile& file, const GgufTensorInfo& sums, const GgufTensorInfo& counts,
                        const std::filesystem::path& path) {
  ImatrixEntry entry;
  entry.in_features = sums.ne[0];
  entry.n_mat = sums.rows();
  const std::vector<float> raw = read_values(file, sums, path);
  const std::vector<float> rows = read_values(file, counts, path);
  if (entry.in_features == 0 || entry.n_mat == 0 || rows.empty() ||
      (rows.size() != entry.n_mat && rows.size() != 1)) {
    fail(path, fmt::format("sizes of {} and its counts do not fit", sums.name));
  }
  entry.sum_sq.assign(raw.begin(), raw.end());
  for (std::uint64_t mat = 0; mat < entry.n_mat; ++mat) {
    const float count = rows[rows.size() == 1 ? 0 : mat];
    if (count >= 0x1p63F) fail(path, fmt::format("count {} of {} is out of range", count, sums.name));
    entry.counts.push_back(static_cast<std::uint64_t>(count));
  }
  return entry;
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
  if (!chunks || *chunks < 0 || !chunk_size || *chunk_size <= 0 || datasets == nullptr) {
    fail(path, "imatrix.datasets, imatrix.chunk_count or imatrix.chunk_size is missing");
  }
  Imatrix imatrix;
  imatrix.samples = static_cast<std::uint64_t>(*chunks);
  imatrix.ctx = static_cast<std::uint64_t>(*chunk_size);
  if (!datasets->empty()) imatrix.dataset_name = std::filesystem::path(datasets->front()).filename().string();
  for (const GgufTensorInfo& info : file.header().tensors) {
    if (!info.name.ends_with(kSumSuffix)) continue;
    const std::string name = info.name.substr(0, info.name.size() - kSumSuffix.size());
    const GgufTensorInfo* counts = file.header().find(name + std::string(kCountSuffix));
    if (counts == nullptr) fail(path, fmt::format("{} has no counts", name));
    imatrix.entries[name] = read_entry(file, info, *counts, path);
  }
  if (imatrix.entries.empty()) fail(path, "holds no entry");
  return imatrix;
}

}  // namespace llmq
