// Checkpoint generations through parallel HDF5. All ranks make the same metadata calls in the same order;
// boundary states are written collectively, each rank its own rows; small data by rank 0 with empty
// selections elsewhere. SPDX-License-Identifier: Apache-2.0
#include "llmq/formats/checkpoint_store.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include <fmt/format.h>
#include <mpi.h>

#include "llmq/core/file.hpp"
#include "llmq/core/hash.hpp"

#include "formats/hdf5/handle.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSchema = "llmq.checkpoint";
constexpr std::uint64_t kSchemaVersion = 2;
constexpr std::uint64_t kFormatBytes = 1 << 16;  // above what HDF5 adds to the data of a generation

/// The group of ranks that write one file; serial when there is no communicator.
struct Writers {
  MPI_Comm comm = MPI_COMM_NULL;
  int rank = 0;

  explicit Writers(const void* native) {
    if (native == nullptr) return;
    comm = *static_cast<const MPI_Comm*>(native);
    MPI_Comm_rank(comm, &rank);
  }
  bool parallel() const noexcept { return comm != MPI_COMM_NULL; }
  /// Every rank's value, in rank order (collective).
  std::vector<std::uint64_t> all_gather(std::uint64_t mine) const {
    if (!parallel()) return {mine};
    int size = 1;
    MPI_Comm_size(comm, &size);
    std::vector<std::uint64_t> all(static_cast<std::size_t>(size));
    MPI_Allgather(&mine, 1, MPI_UINT64_T, all.data(), 1, MPI_UINT64_T, comm);
    return all;
  }
  void broadcast(std::string& text) const {
    if (!parallel()) return;
    std::uint64_t size = text.size();
    MPI_Bcast(&size, 1, MPI_UINT64_T, 0, comm);
    text.resize(size);
    MPI_Bcast(text.data(), static_cast<int>(size), MPI_BYTE, 0, comm);
  }
};

/// Everything but the states as one byte string: small (a few MB), written by rank 0 as one dataset.
class MetaWriter {
 public:
  void number(std::uint64_t value) { raw(&value, sizeof value); }
  void text(const std::string& value) {
    number(value.size());
    raw(value.data(), value.size());
  }
  template <typename T>
  void array(const std::vector<T>& values) {
    number(values.size());
    raw(values.data(), values.size() * sizeof(T));
  }
  std::vector<std::uint64_t> take() {
    while (bytes_.size() % 8 != 0) bytes_.push_back('\0');
    std::vector<std::uint64_t> words(bytes_.size() / 8);
    std::memcpy(words.data(), bytes_.data(), bytes_.size());
    return words;
  }

 private:
  void raw(const void* from, std::size_t count) { bytes_.append(static_cast<const char*>(from), count); }
  std::string bytes_;
};

class MetaReader {
 public:
  MetaReader(const std::vector<std::uint64_t>& words, const h5::Context& context)
      : bytes_(reinterpret_cast<const char*>(words.data()), words.size() * 8), context_(context) {}
  std::uint64_t number() {
    std::uint64_t value = 0;
    raw(&value, sizeof value);
    return value;
  }
  std::string text() {
    std::string value(checked(number(), 1), '\0');
    raw(value.data(), value.size());
    return value;
  }
  template <typename T>
  std::vector<T> array() {
    std::vector<T> values(checked(number(), sizeof(T)));
    raw(values.data(), values.size() * sizeof(T));
    return values;
  }

 private:
  std::size_t checked(std::uint64_t count, std::size_t width) const {
    if (count > (bytes_.size() - at_) / width) context_.fail("checkpoint statistics are damaged");
    return count;
  }
  void raw(void* to, std::size_t count) {
    if (count > bytes_.size() - at_) context_.fail("checkpoint statistics are damaged");
    if (count > 0) std::memcpy(to, bytes_.data() + at_, count);
    at_ += count;
  }
  std::string_view bytes_;
  const h5::Context& context_;
  std::size_t at_ = 0;
};

std::vector<std::uint64_t> encode_meta(const AnalyzeCheckpoint& checkpoint) {
  MetaWriter out;
  out.number(checkpoint.generation);
  out.number(checkpoint.state_elems);
  out.array(checkpoint.sample_progress);
  out.number(checkpoint.stats.size());
  for (const AnalyzeCheckpoint::Stat& stat : checkpoint.stats) {
    out.text(stat.name);
    out.number(stat.in_features);
    out.array(stat.sum_sq);
    out.array(stat.sum);
    out.array(stat.sum_quad);
    out.array(stat.max_abs);
    out.array(stat.counts);
  }
  out.number(checkpoint.sensitivities.size());
  for (const AnalyzeCheckpoint::SensitivityStat& stat : checkpoint.sensitivities) {
    out.text(stat.name);
    out.array(stat.columns);
    out.array(stat.rows);
    out.number(stat.samples);
  }
  return out.take();
}

AnalyzeCheckpoint decode_meta(const std::vector<std::uint64_t>& words, const h5::Context& context) {
  MetaReader in(words, context);
  AnalyzeCheckpoint checkpoint;
  checkpoint.generation = in.number();
  checkpoint.state_elems = in.number();
  checkpoint.sample_progress = in.array<std::uint32_t>();
  const std::uint64_t stats = in.number();
  for (std::uint64_t i = 0; i < stats; ++i) {
    AnalyzeCheckpoint::Stat stat;
    stat.name = in.text();
    stat.in_features = in.number();
    stat.sum_sq = in.array<Int128>();
    stat.sum = in.array<Int128>();
    stat.sum_quad = in.array<Int128>();
    stat.max_abs = in.array<float>();
    stat.counts = in.array<std::uint64_t>();
    const std::uint64_t width = stat.in_features;
    if (stat.sum_sq.size() != width || stat.sum.size() != width || stat.sum_quad.size() != width ||
        stat.max_abs.size() != width || stat.counts.empty()) {
      context.fail("checkpoint statistics have uneven sizes");
    }
    checkpoint.stats.push_back(std::move(stat));
  }
  const std::uint64_t sensitivities = in.number();
  for (std::uint64_t i = 0; i < sensitivities; ++i) {
    AnalyzeCheckpoint::SensitivityStat stat;
    stat.name = in.text();
    stat.columns = in.array<Int128>();
    stat.rows = in.array<Int128>();
    stat.samples = in.number();
    checkpoint.sensitivities.push_back(std::move(stat));
  }
  return checkpoint;
}

std::uint64_t checksum(std::span<const float> state) { return checksum64(std::as_bytes(state)); }

/// Writes `rows` rows of `width` elements from row `first` on; every rank calls it, also with nothing.
template <typename T>
void write_rows(const h5::Context& context, hid_t dataset, std::uint64_t first, std::uint64_t rows,
                std::uint64_t width, const T* data, hid_t transfer) {
  const h5::SpaceHandle file_space(context.id(H5Dget_space(dataset), "H5Dget_space"));
  const hsize_t start[2] = {first, 0};
  const hsize_t count[2] = {rows, width};
  const h5::SpaceHandle memory(context.id(H5Screate_simple(2, count, nullptr), "H5Screate_simple"));
  if (rows == 0) {
    context.ok(H5Sselect_none(file_space), "H5Sselect_none");
    context.ok(H5Sselect_none(memory), "H5Sselect_none");
  } else {
    context.ok(H5Sselect_hyperslab(file_space, H5S_SELECT_SET, start, nullptr, count, nullptr),
               "H5Sselect_hyperslab");
  }
  context.ok(H5Dwrite(dataset, h5::Context::file_type<T>(), memory, file_space, transfer, data), "H5Dwrite");
}

h5::DatasetHandle create_rows(const h5::Context& context, hid_t file, const char* name, hid_t type,
                              std::uint64_t rows, std::uint64_t width) {
  const hsize_t shape[2] = {rows, width};
  const h5::SpaceHandle space(context.id(H5Screate_simple(2, shape, nullptr), "H5Screate_simple"));
  const h5::PropertyHandle plist = context.timeless(H5P_DATASET_CREATE);
  // Every row is written: filling them first would double the bytes.
  context.ok(H5Pset_fill_time(plist, H5D_FILL_TIME_NEVER), "H5Pset_fill_time");
  return h5::DatasetHandle(
      context.id(H5Dcreate2(file, name, type, space, H5P_DEFAULT, plist, H5P_DEFAULT), "H5Dcreate2"));
}

h5::FileHandle create_file(const h5::Context& context, const Writers& writers, const std::string& path) {
  if (!writers.parallel()) return context.create(path);
  const h5::PropertyHandle creation = context.timeless(H5P_FILE_CREATE);
  const h5::PropertyHandle access(context.id(H5Pcreate(H5P_FILE_ACCESS), "H5Pcreate"));
  context.ok(H5Pset_fapl_mpio(access, writers.comm, MPI_INFO_NULL), "H5Pset_fapl_mpio");
  context.ok(H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18), "H5Pset_libver_bounds");
  return h5::FileHandle(context.id(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation, access), "H5Fcreate"));
}

struct StateRows {
  std::uint64_t total = 0;
  std::uint64_t first = 0;   ///< row of this rank's first state
  std::uint64_t rounds = 0;  ///< largest number of states any rank holds
};

StateRows lay_out_rows(const Writers& writers, std::uint64_t mine) {
  StateRows rows;
  const std::vector<std::uint64_t> counts = writers.all_gather(mine);
  for (std::size_t rank = 0; rank < counts.size(); ++rank) {
    if (static_cast<int>(rank) < writers.rank) rows.first += counts[rank];
    rows.total += counts[rank];
    rows.rounds = std::max(rows.rounds, counts[rank]);
  }
  return rows;
}

void write_states(const h5::Context& context, hid_t file, const Writers& writers, std::uint64_t state_elems,
                  std::span<const std::uint64_t> my_keys, const StateOfKey& state_of, hid_t transfer) {
  const StateRows rows = lay_out_rows(writers, my_keys.size());
  if (rows.total == 0) return;
  const auto states = create_rows(context, file, "states", H5T_IEEE_F32LE, rows.total, state_elems);
  const auto labels = create_rows(context, file, "state_keys", H5T_STD_U64LE, rows.total, 2);
  std::vector<std::uint64_t> mine;  // key, checksum
  for (std::uint64_t round = 0; round < rows.rounds; ++round) {
    const bool has = round < my_keys.size();
    std::span<const float> state;
    if (has) {
      state = state_of(my_keys[round]);
      if (state.size() != state_elems) throw InternalError("a boundary state has the wrong size");
      mine.insert(mine.end(), {my_keys[round], checksum(state)});
    }
    write_rows<float>(context, states, rows.first + round, has ? 1 : 0, state_elems, state.data(), transfer);
  }
  write_rows<std::uint64_t>(context, labels, rows.first, my_keys.size(), 2, mine.data(), transfer);
}

/// A full disk must show before the library writes: after a failed flush it can neither close the file nor
/// end the process in order. @returns the reason if there is no room, on all ranks.
std::string reserve_room(const Writers& writers, const fs::path& temporary, std::uint64_t meta_words,
                         std::uint64_t my_states, std::uint64_t state_elems) {
  std::uint64_t states = 0;
  for (const std::uint64_t count : writers.all_gather(my_states)) states += count;
  std::string reason;
  if (writers.rank == 0) {
    try {
      const File file(temporary, File::Mode::create_truncate);
      file.preallocate(kFormatBytes + 8 * meta_words + states * (state_elems * sizeof(float) + 16));
    } catch (const Error& error) {
      reason = error.what();
      std::error_code ignored;
      fs::remove(temporary, ignored);
    }
  }
  writers.broadcast(reason);
  return reason;
}

}  // namespace

std::string write_analyze_checkpoint(const fs::path& file, const void* native_comm,
                                     const AnalyzeCheckpoint& checkpoint,
                                     std::span<const std::uint64_t> my_keys, const StateOfKey& state_of) {
  const Writers writers(native_comm);
  fs::path temporary = file;
  temporary += ".tmp";
  std::vector<std::uint64_t> meta;
  if (writers.rank == 0) meta = encode_meta(checkpoint);
  std::string no_room = reserve_room(writers, temporary, meta.size(), my_keys.size(), checkpoint.state_elems);
  if (!no_room.empty()) return no_room;
  const h5::Context context(ExitCode::general, temporary.string());
  {
    h5::FileHandle out = create_file(context, writers, temporary.string());
    const h5::PropertyHandle transfer(context.id(H5Pcreate(H5P_DATASET_XFER), "H5Pcreate"));
    if (writers.parallel()) context.ok(H5Pset_dxpl_mpio(transfer, H5FD_MPIO_COLLECTIVE), "H5Pset_dxpl_mpio");
    const std::uint64_t words = writers.all_gather(meta.size()).front();
    std::string hash =
        writers.rank == 0 ? Sha256().update(std::as_bytes(std::span(meta))).hex() : std::string();
    writers.broadcast(hash);
    context.write_text(out, "schema", kSchema);
    context.write_number(out, "schema_version", kSchemaVersion);
    context.write_text(out, "meta_hash", hash);
    {
      const auto dataset = create_rows(context, out, "meta", H5T_STD_U64LE, 1, words);
      write_rows<std::uint64_t>(context, dataset, 0, writers.rank == 0 ? 1 : 0, words, meta.data(), transfer);
    }
    write_states(context, out, writers, checkpoint.state_elems, my_keys, state_of, transfer);
    context.ok(H5Fflush(out, H5F_SCOPE_GLOBAL), "H5Fflush");
    context.ok(out.close(), "H5Fclose");
  }
  if (writers.parallel()) MPI_Barrier(writers.comm);
  if (writers.rank == 0) {
    File(temporary, File::Mode::read_write).sync();
    publish_file(temporary, file);
  }
  return {};
}

AnalyzeCheckpoint read_analyze_checkpoint_meta(const fs::path& file) {
  const h5::Context context(ExitCode::checkpoint, file.string());
  const h5::FileHandle in = context.open(file.string());
  if (context.read_text(in, "schema") != kSchema ||
      context.read_number(in, "schema_version") != kSchemaVersion) {
    context.fail("is not a checkpoint of this version");
  }
  std::vector<hsize_t> shape;
  const auto words = context.read_array<std::uint64_t>(in, "meta", shape, fs::file_size(file) / 8);
  if (Sha256().update(std::as_bytes(std::span(words))).hex() != context.read_text(in, "meta_hash")) {
    context.fail("statistics do not match their hash: the checkpoint is damaged");
  }
  return decode_meta(words, context);
}

void read_analyze_states(const fs::path& file, std::span<const std::uint64_t> keys,
                         const std::function<void(std::uint64_t, std::span<const float>)>& take) {
  if (keys.empty()) return;
  const h5::Context context(ExitCode::checkpoint, file.string());
  const h5::FileHandle in = context.open(file.string());
  std::vector<hsize_t> shape;
  const auto labels = context.read_array<std::uint64_t>(in, "state_keys", shape, fs::file_size(file) / 8);
  const h5::DatasetHandle states(context.id(H5Dopen2(in, "states", H5P_DEFAULT), "H5Dopen2"));
  const h5::SpaceHandle space(context.id(H5Dget_space(states), "H5Dget_space"));
  std::array<hsize_t, 2> extent{};
  if (H5Sget_simple_extent_ndims(space) != 2) context.fail("states are not a matrix");
  context.ok(H5Sget_simple_extent_dims(space, extent.data(), nullptr), "H5Sget_simple_extent_dims");
  if (extent[0] * 2 != labels.size() || extent[1] > fs::file_size(file) / sizeof(float))
    context.fail("states have uneven sizes");
  std::vector<float> state(extent[1]);
  for (const std::uint64_t key : keys) {
    std::size_t row = 0;
    while (2 * row < labels.size() && labels[2 * row] != key) ++row;
    if (2 * row == labels.size()) context.fail(fmt::format("state {} is missing", key));
    const hsize_t start[2] = {row, 0};
    const hsize_t count[2] = {1, extent[1]};
    const h5::SpaceHandle memory(context.id(H5Screate_simple(2, count, nullptr), "H5Screate_simple"));
    context.ok(H5Sselect_hyperslab(space, H5S_SELECT_SET, start, nullptr, count, nullptr),
               "H5Sselect_hyperslab");
    context.ok(H5Dread(states, H5T_IEEE_F32LE, memory, space, H5P_DEFAULT, state.data()), "H5Dread");
    if (checksum(state) != labels[2 * row + 1]) context.fail(fmt::format("state {} is damaged", key));
    take(key, state);
  }
}

}  // namespace llmq
