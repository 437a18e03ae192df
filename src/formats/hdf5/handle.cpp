#include "formats/hdf5/handle.hpp"

#include <cstdlib>
#include <cstring>

#include <fmt/format.h>

#include "llmq/core/text.hpp"

namespace llmq::h5 {
namespace {

constexpr std::size_t kMaxTextBytes = 1 << 16;

/// Message of the innermost entry of the library's error stack.
std::string innermost_message() {
  std::string message;
  H5Ewalk2(
      H5E_DEFAULT, H5E_WALK_UPWARD,
      [](unsigned, const H5E_error2_t* entry, void* out) -> herr_t {
        auto& text = *static_cast<std::string*>(out);
        if (text.empty() && entry->desc != nullptr) text = entry->desc;
        return 0;
      },
      &message);
  H5Eclear2(H5E_DEFAULT);
  return message.empty() ? "unknown failure" : message;
}

/// Catches the buffer of an in-memory file when the library closes it. (H5Fget_file_image of 1.10 clears the
/// flags of the superblock without mending its checksum: the copy cannot be opened.)
class ClosedImage {
 public:
  H5FD_file_image_callbacks_t callbacks() {
    H5FD_file_image_callbacks_t table{};
    table.image_malloc = [](std::size_t size, H5FD_file_image_op_t, void* self) {
      static_cast<ClosedImage*>(self)->capacity_ = size;
      return std::malloc(size);
    };
    table.image_realloc = [](void* buffer, std::size_t size, H5FD_file_image_op_t, void* self) {
      static_cast<ClosedImage*>(self)->capacity_ = size;
      return std::realloc(buffer, size);
    };
    table.image_free = [](void* buffer, H5FD_file_image_op_t when, void* self) -> herr_t {
      auto& image = *static_cast<ClosedImage*>(self);
      if (when == H5FD_FILE_IMAGE_OP_FILE_CLOSE && buffer != nullptr) {
        image.bytes_.assign(static_cast<const char*>(buffer), image.capacity_);
      }
      std::free(buffer);
      return 0;
    };
    table.udata_copy = [](void* self) { return self; };
    table.udata_free = [](void*) -> herr_t { return 0; };
    table.udata = this;
    return table;
  }
  /// The file's bytes, cut at the end of file that its superblock (version 2) states.
  std::string take(const Context& context) {
    constexpr std::size_t kEndOfFileField = 28;
    std::uint64_t end = 0;
    if (bytes_.size() < kEndOfFileField + sizeof end) context.fail("HDF5 gave no file image");
    std::memcpy(&end, bytes_.data() + kEndOfFileField, sizeof end);
    if (end > bytes_.size()) context.fail("HDF5 gave a short file image");
    bytes_.resize(end);
    return std::move(bytes_);
  }

 private:
  std::size_t capacity_ = 0;
  std::string bytes_;
};

}  // namespace

Hdf5Error::Hdf5Error(ExitCode code, std::string_view call, const std::string& path)
    : Error(code, fmt::format("{}: HDF5 {} failed: {}", path, call, innermost_message()),
            code == ExitCode::imatrix ? "Make a new one with: llm-quantize analyze MODEL" : "") {}

Context::Context(ExitCode code, std::string path) : code_(code), path_(std::move(path)) {
  // Every file is closed by its handle. At exit the library would try to flush files whose disk is full, and
  // crash.
  static const herr_t no_exit_handler = H5dont_atexit();
  static_cast<void>(no_exit_handler);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

PropertyHandle Context::timeless(hid_t kind) const {
  PropertyHandle list(id(H5Pcreate(kind), "H5Pcreate"));
  ok(H5Pset_obj_track_times(list, 0), "H5Pset_obj_track_times");
  return list;
}

FileHandle Context::create(const std::string& path) const {
  const PropertyHandle creation = timeless(H5P_FILE_CREATE);
  const PropertyHandle access(id(H5Pcreate(H5P_FILE_ACCESS), "H5Pcreate"));
  ok(H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18), "H5Pset_libver_bounds");
  return FileHandle(id(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation, access), "H5Fcreate"));
}

std::string Context::make_image(const std::function<void(hid_t)>& fill) const {
  constexpr std::size_t kGrowBytes = 1 << 20;
  const PropertyHandle creation = timeless(H5P_FILE_CREATE);
  const PropertyHandle access(id(H5Pcreate(H5P_FILE_ACCESS), "H5Pcreate"));
  ok(H5Pset_fapl_core(access, kGrowBytes, 0), "H5Pset_fapl_core");
  ok(H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18), "H5Pset_libver_bounds");
  ClosedImage image;
  H5FD_file_image_callbacks_t callbacks = image.callbacks();
  ok(H5Pset_file_image_callbacks(access, &callbacks), "H5Pset_file_image_callbacks");
  FileHandle file(id(H5Fcreate("memory", H5F_ACC_TRUNC, creation, access), "H5Fcreate"));
  fill(file);
  ok(H5Fflush(file, H5F_SCOPE_GLOBAL), "H5Fflush");
  ok(file.close(), "H5Fclose");
  return image.take(*this);
}

FileHandle Context::open(const std::string& path) const {
  return FileHandle(id(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), "H5Fopen"));
}

void Context::write_text(hid_t object, const char* name, const std::string& value) const {
  const TypeHandle type(id(H5Tcopy(H5T_C_S1), "H5Tcopy"));
  ok(H5Tset_size(type, value.size() + 1), "H5Tset_size");
  ok(H5Tset_cset(type, H5T_CSET_UTF8), "H5Tset_cset");
  const SpaceHandle space(id(H5Screate(H5S_SCALAR), "H5Screate"));
  const AttributeHandle attribute(
      id(H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT), "H5Acreate2"));
  ok(H5Awrite(attribute, type, value.c_str()), "H5Awrite");
}

void Context::write_number(hid_t object, const char* name, std::uint64_t value) const {
  const SpaceHandle space(id(H5Screate(H5S_SCALAR), "H5Screate"));
  const AttributeHandle attribute(
      id(H5Acreate2(object, name, H5T_STD_U64LE, space, H5P_DEFAULT, H5P_DEFAULT), "H5Acreate2"));
  ok(H5Awrite(attribute, H5T_NATIVE_UINT64, &value), "H5Awrite");
}

std::string Context::read_text(hid_t object, const char* name) const {
  const AttributeHandle attribute(id(H5Aopen(object, name, H5P_DEFAULT), "H5Aopen"));
  const TypeHandle type(id(H5Aget_type(attribute), "H5Aget_type"));
  const std::size_t size = H5Tget_size(type);
  if (H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) != 0 || size == 0 ||
      size > kMaxTextBytes) {
    fail(fmt::format("attribute {} is not a short string", name));
  }
  const SpaceHandle space(id(H5Aget_space(attribute), "H5Aget_space"));
  if (H5Sget_simple_extent_npoints(space) != 1) fail(fmt::format("attribute {} is not one value", name));
  std::string value(size, '\0');
  const TypeHandle memory(id(H5Tcopy(H5T_C_S1), "H5Tcopy"));
  ok(H5Tset_size(memory, size), "H5Tset_size");
  ok(H5Tset_cset(memory, H5Tget_cset(type)), "H5Tset_cset");
  ok(H5Aread(attribute, memory, value.data()), "H5Aread");
  value.resize(value.find('\0') == std::string::npos ? size : value.find('\0'));
  if (!is_valid_utf8(value)) fail(fmt::format("attribute {} is not UTF-8", name));
  return value;
}

std::uint64_t Context::read_number(hid_t object, const char* name) const {
  const AttributeHandle attribute(id(H5Aopen(object, name, H5P_DEFAULT), "H5Aopen"));
  const TypeHandle type(id(H5Aget_type(attribute), "H5Aget_type"));
  const SpaceHandle space(id(H5Aget_space(attribute), "H5Aget_space"));
  if (H5Tget_class(type) != H5T_INTEGER || H5Sget_simple_extent_npoints(space) != 1) {
    fail(fmt::format("attribute {} is not a number", name));
  }
  std::uint64_t value = 0;
  ok(H5Aread(attribute, H5T_NATIVE_UINT64, &value), "H5Aread");
  return value;
}

std::uint64_t Context::check_dataset(hid_t dataset, hid_t type, const char* name, std::vector<hsize_t>& shape,
                                     std::uint64_t max_elems) const {
  const TypeHandle stored(id(H5Dget_type(dataset), "H5Dget_type"));
  if (H5Tequal(stored, type) <= 0) fail(fmt::format("dataset {} has another type than expected", name));
  const SpaceHandle space(id(H5Dget_space(dataset), "H5Dget_space"));
  const int rank = H5Sget_simple_extent_ndims(space);
  if (rank < 1 || rank > 2) fail(fmt::format("dataset {} has {} dimensions", name, rank));
  shape.resize(static_cast<std::size_t>(rank));
  ok(H5Sget_simple_extent_dims(space, shape.data(), nullptr), "H5Sget_simple_extent_dims");
  std::uint64_t count = 1;
  for (const hsize_t extent : shape) {
    if (extent > 0 && count > max_elems / extent)
      fail(fmt::format("dataset {} is larger than its file", name));
    count *= extent;
  }
  // Contiguous data must really be in the file: a damaged head may promise more.
  if (count > 0 && H5Dget_storage_size(dataset) != count * H5Tget_size(stored)) {
    fail(fmt::format("dataset {} is not completely stored", name));
  }
  return count;
}

GroupHandle Context::create_group(hid_t parent, const std::string& name) const {
  const PropertyHandle plist = timeless(H5P_GROUP_CREATE);
  return GroupHandle(id(H5Gcreate2(parent, name.c_str(), H5P_DEFAULT, plist, H5P_DEFAULT), "H5Gcreate2"));
}

GroupHandle Context::open_group(hid_t parent, const std::string& name) const {
  return GroupHandle(id(H5Gopen2(parent, name.c_str(), H5P_DEFAULT), "H5Gopen2"));
}

std::vector<std::string> Context::link_names(hid_t group) const {
  constexpr std::uint64_t kMaxEntries = 1 << 20;
  H5G_info_t info{};
  ok(H5Gget_info(group, &info), "H5Gget_info");
  if (info.nlinks > kMaxEntries) fail("has too many entries");
  std::vector<std::string> names;
  for (hsize_t i = 0; i < info.nlinks; ++i) {
    const ssize_t length =
        H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, i, nullptr, 0, H5P_DEFAULT);
    if (length < 1 || length > 255) fail("an entry name is out of range");
    std::string name(static_cast<std::size_t>(length) + 1, '\0');
    H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, i, name.data(), name.size(), H5P_DEFAULT);
    name.resize(static_cast<std::size_t>(length));
    if (!is_valid_utf8(name)) fail("an entry name is not UTF-8");
    names.push_back(std::move(name));
  }
  return names;
}

}  // namespace llmq::h5
