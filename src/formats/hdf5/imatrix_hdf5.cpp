// Our importance matrix file. Schema: docs/formats/imatrix-hdf5.md. Names in sorted order, no times, no
// filters, fixed library version bounds: equal content gives equal bytes. SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>

#include <fmt/format.h>

#include "llmq/core/file.hpp"
#include "llmq/core/text.hpp"
#include "llmq/formats/imatrix.hpp"

#include "formats/hdf5/handle.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSchema = "llmq.imatrix";
constexpr std::uint64_t kSchemaVersion = 2;
constexpr std::uint64_t kOldestVersion = 1;  // without sensitivities and super weights

void write_sensitivity(const h5::Context& context, hid_t group, const ImatrixEntry& entry) {
  const Sensitivity& values = entry.sensitivity;
  const hsize_t columns[2] = {entry.n_mat, entry.in_features};
  const hsize_t rows[2] = {entry.n_mat, values.rows.size() / entry.n_mat};
  const hsize_t scores[1] = {entry.n_mat};
  context.write_array<double>(group, "sensitivity_columns", values.columns, columns);
  context.write_array<double>(group, "sensitivity_rows", values.rows, rows);
  context.write_array<double>(group, "sensitivity_scores", values.scores, scores);
  context.write_number(group, "sensitivity_samples", values.samples);
}

void write_entry(const h5::Context& context, hid_t parent, const std::string& name,
                 const ImatrixEntry& entry) {
  const h5::GroupHandle group = context.create_group(parent, name);
  const hsize_t matrix[2] = {entry.n_mat, entry.in_features};
  const hsize_t row[1] = {entry.n_mat};
  context.write_array<std::uint64_t>(group, "counts", entry.counts, row);
  if (!entry.max_abs.empty()) context.write_array<float>(group, "max_abs", entry.max_abs, matrix);
  if (!entry.sum.empty()) context.write_array<double>(group, "sum", entry.sum, matrix);
  if (!entry.sum_quad.empty()) context.write_array<double>(group, "sum_quad", entry.sum_quad, matrix);
  context.write_array<double>(group, "sum_sq", entry.sum_sq, matrix);
  if (!entry.sensitivity.empty()) write_sensitivity(context, group, entry);
}

constexpr std::uint64_t kSpikeFigures = 5;  // value, max_input, max_output, loss_change, kl_divergence

/// Groups "0000", "0001", ... in the order found; covered weights by tensor.
void write_super_weights(const h5::Context& context, hid_t file, const SuperWeights& weights) {
  const h5::GroupHandle group = context.create_group(file, "super_weights");
  const hsize_t one[1] = {1};
  context.write_array<double>(group, "coverage", std::span(&weights.coverage, 1), one);
  const h5::GroupHandle covered = context.create_group(group, "covered");
  for (const auto& [name, indices] : weights.covered) {
    const hsize_t count[1] = {indices.size()};
    context.write_array<std::uint64_t>(covered, name.c_str(), indices, count);
  }
  const h5::GroupHandle spikes = context.create_group(group, "spikes");
  for (std::size_t i = 0; i < weights.spikes.size(); ++i) {
    const SuperWeight& spike = weights.spikes[i];
    const h5::GroupHandle item = context.create_group(spikes, fmt::format("{:04}", i));
    const double figures[kSpikeFigures] = {spike.value, spike.max_input, spike.max_output, spike.loss_change,
                                           spike.kl_divergence};
    const hsize_t count[1] = {kSpikeFigures};
    context.write_text(item, "tensor", spike.tensor);
    context.write_number(item, "row", spike.row);
    context.write_number(item, "column", spike.column);
    context.write_array<double>(item, "figures", figures, count);
  }
}

void write_content(const h5::Context& context, hid_t file, const Imatrix& imatrix) {
  context.write_text(file, "schema", kSchema);
  context.write_number(file, "schema_version", kSchemaVersion);
  context.write_text(file, "method", imatrix.method);
  context.write_text(file, "dataset_name", imatrix.dataset_name);
  context.write_text(file, "dataset_hash", imatrix.dataset_hash);
  context.write_text(file, "model_hash", imatrix.model_hash);
  context.write_text(file, "tokenizer_hash", imatrix.tokenizer_hash);
  context.write_number(file, "ctx", imatrix.ctx);
  context.write_number(file, "samples", imatrix.samples);
  context.write_text(file, "content_hash", imatrix.content_hash());
  {
    const h5::GroupHandle entries = context.create_group(file, "entries");
    for (const auto& [name, entry] : imatrix.entries) write_entry(context, entries, name, entry);
  }
  if (imatrix.super_weights.searched) write_super_weights(context, file, imatrix.super_weights);
}

/// Shape must be [n_mat, in_features]; values finite and, for squares and maxima, not negative.
template <typename T>
std::vector<T> read_matrix(const h5::Context& context, hid_t group, const char* name,
                           const ImatrixEntry& entry, bool non_negative, std::uint64_t max_elems) {
  std::vector<hsize_t> shape;
  std::vector<T> values = context.read_array<T>(group, name, shape, max_elems);
  if (shape.size() != 2 || shape[0] != entry.n_mat || shape[1] != entry.in_features) {
    context.fail(fmt::format("dataset {} has another shape than the rest of its entry", name));
  }
  for (const T value : values) {
    if (!std::isfinite(value) || (non_negative && value < 0))
      context.fail(fmt::format("dataset {} holds {}", name, value));
  }
  return values;
}

std::vector<double> read_figures(const h5::Context& context, hid_t group, const char* name,
                                 std::vector<hsize_t> expected, std::uint64_t max_elems) {
  std::vector<hsize_t> shape;
  std::vector<double> values = context.read_array<double>(group, name, shape, max_elems);
  for (std::size_t axis = 0; axis < expected.size(); ++axis) {  // 0: any size
    if (shape.size() != expected.size() || (expected[axis] != 0 && shape[axis] != expected[axis]))
      context.fail(fmt::format("dataset {} has another shape than the rest of its entry", name));
  }
  for (const double value : values) {
    if (!std::isfinite(value)) context.fail(fmt::format("dataset {} holds {}", name, value));
  }
  return values;
}

Sensitivity read_sensitivity(const h5::Context& context, hid_t group, const ImatrixEntry& entry,
                             std::uint64_t max_elems) {
  Sensitivity values;
  values.columns = read_matrix<double>(context, group, "sensitivity_columns", entry, true, max_elems);
  values.rows = read_figures(context, group, "sensitivity_rows", {entry.n_mat, 0}, max_elems);
  values.scores = read_figures(context, group, "sensitivity_scores", {entry.n_mat}, max_elems);
  values.samples = context.read_number(group, "sensitivity_samples");
  const auto negative = [](double value) { return value < 0; };
  if (std::any_of(values.rows.begin(), values.rows.end(), negative) ||
      std::any_of(values.scores.begin(), values.scores.end(), negative))
    context.fail("a sensitivity is negative");
  return values;
}

ImatrixEntry read_entry(const h5::Context& context, hid_t group, std::uint64_t max_elems) {
  ImatrixEntry entry;
  std::vector<hsize_t> shape;
  entry.sum_sq = context.read_array<double>(group, "sum_sq", shape, max_elems);
  if (shape.size() != 2 || shape[0] == 0 || shape[1] == 0) context.fail("dataset sum_sq is not a matrix");
  entry.n_mat = shape[0];
  entry.in_features = shape[1];
  for (const double value : entry.sum_sq) {
    if (!std::isfinite(value) || value < 0) context.fail(fmt::format("dataset sum_sq holds {}", value));
  }
  entry.counts = context.read_array<std::uint64_t>(group, "counts", shape, max_elems);
  if (shape.size() != 1 || shape[0] != entry.n_mat) context.fail("dataset counts does not fit sum_sq");
  if (context.has(group, "sum"))
    entry.sum = read_matrix<double>(context, group, "sum", entry, false, max_elems);
  if (context.has(group, "sum_quad"))
    entry.sum_quad = read_matrix<double>(context, group, "sum_quad", entry, true, max_elems);
  if (context.has(group, "max_abs"))
    entry.max_abs = read_matrix<float>(context, group, "max_abs", entry, true, max_elems);
  if (context.has(group, "sensitivity_columns"))
    entry.sensitivity = read_sensitivity(context, group, entry, max_elems);
  return entry;
}

std::vector<std::uint64_t> read_indices(const h5::Context& context, hid_t group, const std::string& name,
                                        std::uint64_t max_elems) {
  std::vector<hsize_t> shape;
  std::vector<std::uint64_t> indices =
      context.read_array<std::uint64_t>(group, name.c_str(), shape, max_elems);
  if (shape.size() != 1 ||
      std::adjacent_find(indices.begin(), indices.end(), std::greater_equal<>()) != indices.end())
    context.fail(fmt::format("covered weights of {} are not in ascending order", name));
  return indices;
}

SuperWeights read_super_weights(const h5::Context& context, hid_t file, std::uint64_t max_elems) {
  SuperWeights weights;
  weights.searched = true;
  const h5::GroupHandle group = context.open_group(file, "super_weights");
  weights.coverage = read_figures(context, group, "coverage", {1}, max_elems)[0];
  const h5::GroupHandle covered = context.open_group(group, "covered");
  for (const std::string& name : context.link_names(covered))
    weights.covered[name] = read_indices(context, covered, name, max_elems);
  const h5::GroupHandle spikes = context.open_group(group, "spikes");
  for (const std::string& number : context.link_names(spikes)) {
    const h5::GroupHandle item = context.open_group(spikes, number);
    const std::vector<double> figures = read_figures(context, item, "figures", {kSpikeFigures}, max_elems);
    weights.spikes.push_back({context.read_text(item, "tensor"), context.read_number(item, "row"),
                              context.read_number(item, "column"), figures[0], figures[1], figures[2],
                              figures[3], figures[4]});
  }
  return weights;
}

}  // namespace

void write_imatrix_hdf5(const Imatrix& imatrix, const fs::path& path) {
  const h5::Context context(ExitCode::general, path.string());
  write_file_atomically(path, context.make_image([&](hid_t file) { write_content(context, file, imatrix); }));
}

Imatrix read_imatrix_hdf5(const fs::path& path) {
  const h5::Context context(ExitCode::imatrix, path.string());
  const std::uint64_t max_elems = fs::file_size(path) / sizeof(float);
  const h5::FileHandle file = context.open(path.string());
  if (context.read_text(file, "schema") != kSchema)
    context.fail("is an HDF5 file, but not an importance matrix");
  if (const std::uint64_t version = context.read_number(file, "schema_version");
      version < kOldestVersion || version > kSchemaVersion) {
    context.fail(fmt::format("has schema version {}, this program reads {} to {}", version, kOldestVersion,
                             kSchemaVersion));
  }
  Imatrix imatrix;
  imatrix.method = context.read_text(file, "method");
  imatrix.dataset_name = context.read_text(file, "dataset_name");
  imatrix.dataset_hash = context.read_text(file, "dataset_hash");
  imatrix.model_hash = context.read_text(file, "model_hash");
  imatrix.tokenizer_hash = context.read_text(file, "tokenizer_hash");
  imatrix.ctx = context.read_number(file, "ctx");
  imatrix.samples = context.read_number(file, "samples");
  const h5::GroupHandle entries = context.open_group(file, "entries");
  for (const std::string& name : context.link_names(entries)) {
    const h5::GroupHandle group = context.open_group(entries, name);
    imatrix.entries[name] = read_entry(context, group, max_elems);
  }
  if (imatrix.entries.empty()) context.fail("holds no entry");
  if (context.has(file, "super_weights"))
    imatrix.super_weights = read_super_weights(context, file, max_elems);
  if (context.read_text(file, "content_hash") != imatrix.content_hash()) {
    context.fail("content does not match its hash: the file is damaged");
  }
  return imatrix;
}

}  // namespace llmq
