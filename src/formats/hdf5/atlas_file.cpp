// The atlas as an HDF5 file. Schema: docs/formats/atlas.md. SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <fmt/format.h>

#include "llmq/core/file.hpp"
#include "llmq/formats/atlas.hpp"

#include "formats/hdf5/handle.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSchema = "llmq.atlas";
constexpr std::uint64_t kSchemaVersion = 1;
constexpr std::uint64_t kMaxTypes = 64;
constexpr std::size_t kCellFigures = 2;   // error, max_error
constexpr std::size_t kProbeFigures = 2;  // kld, kld_error

void write_table(const h5::Context& context, hid_t group, const char* types_name, const char* figures_name,
                 const std::vector<std::uint32_t>& types, const std::vector<double>& figures) {
  const hsize_t count[1] = {types.size()};
  const hsize_t shape[2] = {types.size(), figures.size() / types.size()};
  context.write_array<double>(group, figures_name, figures, shape);
  context.write_array<std::uint32_t>(group, types_name, types, count);
}

void write_tensor(const h5::Context& context, hid_t parent, const std::string& name,
                  const AtlasTensor& tensor) {
  const h5::GroupHandle group = context.create_group(parent, name);
  context.write_number(group, "in_features", tensor.in_features);
  context.write_number(group, "rows", tensor.rows);
  context.write_number(group, "sampled_rows", tensor.sampled_rows);
  const hsize_t one[1] = {1};
  context.write_array<double>(group, "power", std::span(&tensor.power, 1), one);
  std::vector<std::uint32_t> types;
  std::vector<double> figures;
  std::vector<std::uint64_t> bytes;
  for (const AtlasCell& cell : tensor.cells) {
    types.push_back(static_cast<std::uint32_t>(cell.type));
    figures.insert(figures.end(), {cell.error, cell.max_error});
    bytes.push_back(cell.bytes);
  }
  const hsize_t count[1] = {types.size()};
  context.write_array<std::uint64_t>(group, "bytes", bytes, count);
  write_table(context, group, "types", "errors", types, figures);
  if (tensor.probes.empty()) return;
  types.clear();
  figures.clear();
  for (const AtlasProbe& probe : tensor.probes) {
    types.push_back(static_cast<std::uint32_t>(probe.type));
    figures.insert(figures.end(), {probe.kld, probe.kld_error});
  }
  write_table(context, group, "probe_types", "probes", types, figures);
}

void write_content(const h5::Context& context, hid_t file, const Atlas& atlas) {
  context.write_text(file, "schema", kSchema);
  context.write_number(file, "schema_version", kSchemaVersion);
  context.write_text(file, "model_hash", atlas.key.model_hash);
  context.write_text(file, "imatrix_hash", atlas.key.imatrix_hash);
  context.write_text(file, "protection", atlas.key.protection);
  context.write_text(file, "encoder", atlas.key.encoder);
  context.write_number(file, "row_limit", atlas.key.row_limit);
  context.write_text(file, "probe_dataset_hash", atlas.probe_text.dataset_hash);
  context.write_number(file, "probe_samples", atlas.probe_text.samples);
  context.write_number(file, "probe_ctx", atlas.probe_text.ctx);
  context.write_text(file, "content_hash", atlas.content_hash());
  const h5::GroupHandle tensors = context.create_group(file, "tensors");
  for (const auto& [name, tensor] : atlas.tensors) write_tensor(context, tensors, name, tensor);
}

/// Types in ascending order and a finite, not negative table with a row for each.
std::vector<GgmlType> read_table(const h5::Context& context, hid_t group, const char* types_name,
                                 const char* figures_name, std::size_t columns,
                                 std::vector<double>& figures) {
  std::vector<hsize_t> shape;
  const auto ids = context.read_array<std::uint32_t>(group, types_name, shape, kMaxTypes);
  std::vector<GgmlType> types;
  for (const std::uint32_t id : ids) {
    const auto type = ggml_type_from_id(id);
    if (!type || (!types.empty() && types.back() >= *type))
      context.fail(fmt::format("dataset {} holds type {} out of place", types_name, id));
    types.push_back(*type);
  }
  figures = context.read_array<double>(group, figures_name, shape, kMaxTypes * columns);
  if (shape.size() != 2 || shape[0] != types.size() || shape[1] != columns)
    context.fail(fmt::format("dataset {} does not fit {}", figures_name, types_name));
  for (const double value : figures) {
    if (!std::isfinite(value) || value < 0)
      context.fail(fmt::format("dataset {} holds {}", figures_name, value));
  }
  return types;
}

AtlasTensor read_tensor(const h5::Context& context, hid_t group) {
  AtlasTensor tensor;
  tensor.in_features = context.read_number(group, "in_features");
  tensor.rows = context.read_number(group, "rows");
  tensor.sampled_rows = context.read_number(group, "sampled_rows");
  std::vector<hsize_t> shape;
  const auto power = context.read_array<double>(group, "power", shape, 1);
  if (power.size() != 1 || !std::isfinite(power[0]) || power[0] < 0) context.fail("power is out of range");
  tensor.power = power[0];
  std::vector<double> figures;
  const std::vector<GgmlType> types = read_table(context, group, "types", "errors", kCellFigures, figures);
  const auto bytes = context.read_array<std::uint64_t>(group, "bytes", shape, kMaxTypes);
  if (bytes.size() != types.size()) context.fail("dataset bytes does not fit types");
  for (std::size_t i = 0; i < types.size(); ++i)
    tensor.cells.push_back({types[i], figures[2 * i], figures[2 * i + 1], bytes[i]});
  if (!context.has(group, "probe_types")) return tensor;
  const std::vector<GgmlType> probed =
      read_table(context, group, "probe_types", "probes", kProbeFigures, figures);
  for (std::size_t i = 0; i < probed.size(); ++i)
    tensor.probes.push_back({probed[i], figures[2 * i], figures[2 * i + 1]});
  return tensor;
}

}  // namespace

void write_atlas(const Atlas& atlas, const fs::path& path) {
  const h5::Context context(ExitCode::general, path.string());
  write_file_atomically(path, context.make_image([&](hid_t file) { write_content(context, file, atlas); }));
}

Atlas read_atlas(const fs::path& path) {
  const h5::Context context(ExitCode::imatrix, path.string());
  const h5::FileHandle file = context.open(path.string());
  if (context.read_text(file, "schema") != kSchema) context.fail("is an HDF5 file, but not an error table");
  if (const std::uint64_t version = context.read_number(file, "schema_version"); version != kSchemaVersion) {
    context.fail(fmt::format("has schema version {}, this program reads {}", version, kSchemaVersion));
  }
  Atlas atlas;
  atlas.key = {context.read_text(file, "model_hash"), context.read_text(file, "imatrix_hash"),
               context.read_text(file, "protection"), context.read_text(file, "encoder"),
               context.read_number(file, "row_limit")};
  atlas.probe_text = {context.read_text(file, "probe_dataset_hash"),
                      context.read_number(file, "probe_samples"), context.read_number(file, "probe_ctx")};
  const h5::GroupHandle tensors = context.open_group(file, "tensors");
  for (const std::string& name : context.link_names(tensors))
    atlas.tensors[name] = read_tensor(context, context.open_group(tensors, name));
  if (context.read_text(file, "content_hash") != atlas.content_hash())
    context.fail("content does not match its hash: the file is damaged");
  return atlas;
}

}  // namespace llmq
