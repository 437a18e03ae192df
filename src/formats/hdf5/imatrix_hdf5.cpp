// Our importance matrix file. Schema: docs/formats/imatrix-hdf5.md. Names in sorted order, no times, no
// filters, fixed library version bounds: equal content gives equal bytes. SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>

#include "llmq/core/file.hpp"
#include "llmq/core/text.hpp"
#include "llmq/formats/gguf.hpp"
#include "llmq/formats/imatrix.hpp"

#include "formats/hdf5/handle.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSchema = "llmq.imatrix";
constexpr std::uint64_t kSchemaVersion = 1;
constexpr char kHdf5Magic[8] = {'\x89', 'H', 'D', 'F', '\r', '\n', '\x1a', '\n'};
constexpr std::uint64_t kMaxEntries = 1 << 20;

bool has_hdf5_magic(const fs::path& path) noexcept {
  try {
    const File file(path, File::Mode::read);
    char magic[8] = {};
    if (file.size() < sizeof magic) return false;
    file.read_at(std::as_writable_bytes(std::span(magic)), 0);
    return std::memcmp(magic, kHdf5Magic, sizeof magic) == 0;
  } catch (const std::exception&) {
    return false;
  }
}

void write_entry(const h5::Context& context, hid_t parent, const std::string& name,
                 const ImatrixEntry& entry) {
  const h5::PropertyHandle plist = context.timeless(H5P_GROUP_CREATE);
  const h5::GroupHandle group(
      context.id(H5Gcreate2(parent, name.c_str(), H5P_DEFAULT, plist, H5P_DEFAULT), "H5Gcreate2"));
  const hsize_t matrix[2] = {entry.n_mat, entry.in_features};
  const hsize_t row[1] = {entry.n_mat};
  context.write_array<std::uint64_t>(group, "counts", entry.counts, row);
  if (!entry.max_abs.empty()) context.write_array<float>(group, "max_abs", entry.max_abs, matrix);
  if (!entry.sum.empty()) context.write_array<double>(group, "sum", entry.sum, matrix);
  if (!entry.sum_quad.empty()) context.write_array<double>(group, "sum_quad", entry.sum_quad, matrix);
  context.write_array<double>(group, "sum_sq", entry.sum_sq, matrix);
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
    const h5::PropertyHandle plist = context.timeless(H5P_GROUP_CREATE);
    const h5::GroupHandle entries(
        context.id(H5Gcreate2(file, "entries", H5P_DEFAULT, plist, H5P_DEFAULT), "H5Gcreate2"));
    for (const auto& [name, entry] : imatrix.entries) write_entry(context, entries, name, entry);
  }
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
  const auto has = [&](const char* name) { return H5Lexists(group, name, H5P_DEFAULT) > 0; };
  if (has("sum")) entry.sum = read_matrix<double>(context, group, "sum", entry, false, max_elems);
  if (has("sum_quad"))
    entry.sum_quad = read_matrix<double>(context, group, "sum_quad", entry, true, max_elems);
  if (has("max_abs")) entry.max_abs = read_matrix<float>(context, group, "max_abs", entry, true, max_elems);
  return entry;
}

std::vector<std::string> link_names(const h5::Context& context, hid_t group) {
  H5G_info_t info{};
  context.ok(H5Gget_info(group, &info), "H5Gget_info");
  if (info.nlinks > kMaxEntries) context.fail("has too many entries");
  std::vector<std::string> names;
  for (hsize_t i = 0; i < info.nlinks; ++i) {
    const ssize_t length =
        H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, i, nullptr, 0, H5P_DEFAULT);
    if (length < 1 || length > 255) context.fail("an entry name is out of range");
    std::string name(static_cast<std::size_t>(length) + 1, '\0');
    H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, i, name.data(), name.size(), H5P_DEFAULT);
    name.resize(static_cast<std::size_t>(length));
    if (!is_valid_utf8(name)) context.fail("an entry name is not UTF-8");
    names.push_back(std::move(name));
  }
  return names;
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
  if (const std::uint64_t version = context.read_number(file, "schema_version"); version != kSchemaVersion) {
    context.fail(fmt::format("has schema version {}, this program reads {}", version, kSchemaVersion));
  }
  Imatrix imatrix;
  imatrix.method = context.read_text(file, "method");
  imatrix.dataset_name = context.read_text(file, "dataset_name");
  imatrix.dataset_hash = context.read_text(file, "dataset_hash");
  imatrix.model_hash = context.read_text(file, "model_hash");
  imatrix.tokenizer_hash = context.read_text(file, "tokenizer_hash");
  imatrix.ctx = context.read_number(file, "ctx");
  imatrix.samples = context.read_number(file, "samples");
  const h5::GroupHandle entries(context.id(H5Gopen2(file, "entries", H5P_DEFAULT), "H5Gopen2"));
  for (const std::string& name : link_names(context, entries)) {
    const h5::GroupHandle group(context.id(H5Gopen2(entries, name.c_str(), H5P_DEFAULT), "H5Gopen2"));
    imatrix.entries[name] = read_entry(context, group, max_elems);
  }
  if (imatrix.entries.empty()) context.fail("holds no entry");
  if (context.read_text(file, "content_hash") != imatrix.content_hash()) {
    context.fail("content does not match its hash: the file is damaged");
  }
  return imatrix;
}

bool looks_like_imatrix(const fs::path& path) noexcept {
  if (has_hdf5_magic(path)) return true;
  try {
    return has_gguf_magic(path) && GgufFile(path).header().metadata.string("general.type") == "imatrix";
  } catch (const std::exception&) {
    return false;
  }
}

Imatrix read_imatrix(const fs::path& path) {
  if (!fs::is_regular_file(path)) {
    throw Error(ExitCode::imatrix, fmt::format("{}: no such importance matrix", path.string()),
                "Make one with: llm-quantize analyze MODEL");
  }
  if (has_hdf5_magic(path)) return read_imatrix_hdf5(path);
  if (has_gguf_magic(path)) return read_imatrix_gguf(path);
  return read_imatrix_dat(path);
}

}  // namespace llmq
