// HDF5 identifiers as owning values and its return codes as exceptions. Included only inside formats/hdf5.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <hdf5.h>

#include "llmq/core/error.hpp"

namespace llmq::h5 {

/// An HDF5 call failed: which, and the innermost message of its error stack.
class Hdf5Error : public Error {
 public:
  Hdf5Error(ExitCode code, std::string_view call, const std::string& path);
};

/// Owns an identifier; `Close` is the matching H5?close.
template <herr_t (*Close)(hid_t)>
class Handle {
 public:
  explicit Handle(hid_t id = -1) : id_(id) {}
  ~Handle() {
    if (id_ >= 0) Close(id_);
  }
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)) {}
  Handle& operator=(Handle&& other) noexcept {
    if (this != &other) {
      if (id_ >= 0) Close(id_);
      id_ = std::exchange(other.id_, -1);
    }
    return *this;
  }
  operator hid_t() const noexcept { return id_; }  // NOLINT: used as the library's own type
  /// Closes now and reports failure, for writers that must know.
  herr_t close() noexcept { return id_ >= 0 ? Close(std::exchange(id_, -1)) : 0; }

 private:
  hid_t id_;
};

using FileHandle = Handle<H5Fclose>;
using GroupHandle = Handle<H5Gclose>;
using DatasetHandle = Handle<H5Dclose>;
using SpaceHandle = Handle<H5Sclose>;
using PropertyHandle = Handle<H5Pclose>;
using AttributeHandle = Handle<H5Aclose>;
using TypeHandle = Handle<H5Tclose>;

/// Checked calls of one file: every failure names the call and the file.
class Context {
 public:
  Context(ExitCode code, std::string path);
  hid_t id(hid_t result, std::string_view call) const {
    if (result < 0) throw Hdf5Error(code_, call, path_);
    return result;
  }
  void ok(herr_t result, std::string_view call) const {
    if (result < 0) throw Hdf5Error(code_, call, path_);
  }
  [[noreturn]] void fail(std::string reason) const {
    throw FormatError(code_, path_, FormatError::kNoOffset, std::move(reason));
  }

  void write_text(hid_t object, const char* name, const std::string& value) const;
  void write_number(hid_t object, const char* name, std::uint64_t value) const;
  std::string read_text(hid_t object, const char* name) const;
  std::uint64_t read_number(hid_t object, const char* name) const;
  /// Property list of class `kind` without times, so that equal content gives equal bytes.
  PropertyHandle timeless(hid_t kind) const;
  FileHandle create(const std::string& path) const;
  /// Bytes of a file that `fill` writes, made in memory: nothing can fail for lack of disk, so closing is
  /// safe.
  std::string make_image(const std::function<void(hid_t file)>& fill) const;
  FileHandle open(const std::string& path) const;
  GroupHandle create_group(hid_t parent, const std::string& name) const;
  GroupHandle open_group(hid_t parent, const std::string& name) const;
  bool has(hid_t group, const char* name) const { return H5Lexists(group, name, H5P_DEFAULT) > 0; }
  /// Names in a group, in order; UTF-8 and of bounded number and length, or the file is refused.
  std::vector<std::string> link_names(hid_t group) const;

  template <typename T>
  void write_array(hid_t group, const char* name, std::span<const T> values,
                   std::span<const hsize_t> shape) const {
    const SpaceHandle space(
        id(H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr), "H5Screate_simple"));
    const PropertyHandle plist = timeless(H5P_DATASET_CREATE);
    const DatasetHandle dataset(
        id(H5Dcreate2(group, name, file_type<T>(), space, H5P_DEFAULT, plist, H5P_DEFAULT), "H5Dcreate2"));
    ok(H5Dwrite(dataset, file_type<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), "H5Dwrite");
  }
  /// Reads a whole dataset; its shape comes back, its type must be T's, and its size at most `max_elems`.
  template <typename T>
  std::vector<T> read_array(hid_t group, const char* name, std::vector<hsize_t>& shape,
                            std::uint64_t max_elems) const {
    const DatasetHandle dataset(id(H5Dopen2(group, name, H5P_DEFAULT), "H5Dopen2"));
    const std::uint64_t count = check_dataset(dataset, file_type<T>(), name, shape, max_elems);
    std::vector<T> values(count);
    ok(H5Dread(dataset, file_type<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), "H5Dread");
    return values;
  }

  template <typename T>
  static hid_t file_type() {
    if constexpr (std::is_same_v<T, double>)
      return H5T_IEEE_F64LE;
    else if constexpr (std::is_same_v<T, float>)
      return H5T_IEEE_F32LE;
    else if constexpr (std::is_same_v<T, std::uint32_t>)
      return H5T_STD_U32LE;
    else {
      static_assert(std::is_same_v<T, std::uint64_t>);
      return H5T_STD_U64LE;
    }
  }

 private:
  std::uint64_t check_dataset(hid_t dataset, hid_t type, const char* name, std::vector<hsize_t>& shape,
                              std::uint64_t max_elems) const;

  ExitCode code_;
  std::string path_;
};

}  // namespace llmq::h5
