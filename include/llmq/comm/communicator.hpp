// Ranks talking to each other. One value type over a small back end: serial (one rank, always there) or MPI.
// Only comm/mpi sees mpi.h. Blocking calls; every call names its purpose for errors and traces.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "llmq/core/error.hpp"
#include "llmq/core/int128.hpp"

namespace llmq {

namespace comm {

/// What a back end can reduce. Sums of f64 depend on the grouping of ranks and are left out on purpose.
enum class ReduceType { i64, u64, f32, i128 };
enum class ReduceOp { sum, max, min };

/// The transport; `Communicator` adds types and checks on top.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual int rank() const noexcept = 0;
  virtual int size() const noexcept = 0;
  virtual void barrier(std::string_view purpose) = 0;
  virtual void broadcast(std::span<std::byte> bytes, int root, std::string_view purpose) = 0;
  /// In place on all ranks. `count` elements of `type` behind `data`.
  virtual void all_reduce(void* data, std::size_t count, ReduceType type, ReduceOp op,
                          std::string_view purpose) = 0;
  /// In place at rank 0; the other ranks' data is left as it was.
  virtual void reduce_to_root(void* data, std::size_t count, ReduceType type, ReduceOp op,
                              std::string_view purpose) = 0;
  /// Ragged gather of bytes; rank 0 gets one vector per rank, the others nothing.
  virtual std::vector<std::vector<std::byte>> gather(std::span<const std::byte> bytes,
                                                     std::string_view purpose) = 0;
  virtual void send(std::span<const std::byte> bytes, int to, int tag, std::string_view purpose) = 0;
  virtual void receive(std::span<std::byte> bytes, int from, int tag, std::string_view purpose) = 0;
  /// Rank that has a message with this tag on its way to us; empty when there is none. Does not wait.
  virtual std::optional<int> probe(int tag, std::string_view purpose) = 0;
  /// Collective: new communicator of the ranks with the same color, ordered by key.
  virtual std::unique_ptr<Backend> split(int color, int key) = 0;
  /// Collective: the ranks that share this rank's memory.
  virtual std::unique_ptr<Backend> split_node() = 0;
  /// Collective: a counter at 0 shared by all ranks; must be fast without the owner's help.
  virtual std::unique_ptr<class CounterBackend> make_counter() = 0;
  /// Pointer to the native MPI_Comm for libraries that need it (parallel HDF5); null when serial.
  virtual const void* native() const noexcept { return nullptr; }
};

class CounterBackend {
 public:
  virtual ~CounterBackend() = default;
  virtual std::uint64_t fetch_add(std::uint64_t amount) = 0;
};

}  // namespace comm

/// What one rank has to say before a collective step goes on.
struct LocalStatus {
  int exit_code = 0;  ///< 0 or an ExitCode
  std::string message;
  std::string suggestion;
};

/// A failure that every rank has thrown at the same place: whoever catches it may go on with all ranks.
class AgreedError : public Error {
 public:
  using Error::Error;
};

/// Shared counter of work units; one rank's thread at a time may call it.
class WorkCounter {
 public:
  explicit WorkCounter(std::unique_ptr<comm::CounterBackend> backend) : backend_(std::move(backend)) {}
  /// Returns the value before adding.
  std::uint64_t take(std::uint64_t amount = 1) { return backend_->fetch_add(amount); }

 private:
  std::unique_ptr<comm::CounterBackend> backend_;
};

class Communicator {
 public:
  /// One rank, nothing of MPI started.
  static Communicator serial();
  explicit Communicator(std::unique_ptr<comm::Backend> backend) : backend_(std::move(backend)) {}

  int rank() const noexcept { return backend_->rank(); }
  int size() const noexcept { return backend_->size(); }
  bool is_root() const noexcept { return rank() == 0; }
  const void* native() const noexcept { return backend_->native(); }

  void barrier(std::string_view purpose) const { backend_->barrier(purpose); }

  template <typename T>
  requires std::is_trivially_copyable_v<T>
  void broadcast(std::span<T> values, int root, std::string_view purpose) const {
    backend_->broadcast(std::as_writable_bytes(values), root, purpose);
  }
  void broadcast(std::string& text, int root, std::string_view purpose) const;

  /// Collective, in place, same result on every rank. T: int64, uint64, float (max/min only) or Int128.
  template <typename T>
  void all_reduce(std::span<T> values, comm::ReduceOp op, std::string_view purpose) const {
    backend_->all_reduce(values.data(), values.size(), reduce_type<T>(), op, purpose);
  }
  template <typename T>
  T all_reduce_value(T value, comm::ReduceOp op, std::string_view purpose) const {
    all_reduce(std::span<T>(&value, 1), op, purpose);
    return value;
  }
  template <typename T>
  void reduce_to_root(std::span<T> values, comm::ReduceOp op, std::string_view purpose) const {
    backend_->reduce_to_root(values.data(), values.size(), reduce_type<T>(), op, purpose);
  }

  /// Collective: rank 0 gets every rank's values in rank order (ragged).
  template <typename T>
  requires std::is_trivially_copyable_v<T> std::vector<std::vector<T>> gather(std::span<const T> values,
                                                                              std::string_view purpose)
  const {
    const auto raw = backend_->gather(std::as_bytes(values), purpose);
    std::vector<std::vector<T>> typed(raw.size());
    for (std::size_t rank = 0; rank < raw.size(); ++rank) {
      typed[rank].resize(raw[rank].size() / sizeof(T));
      if (!raw[rank].empty()) std::memcpy(typed[rank].data(), raw[rank].data(), raw[rank].size());
    }
    return typed;
  }

  template <typename T>
  requires std::is_trivially_copyable_v<T>
  void send(std::span<const T> values, int to, int tag, std::string_view purpose) const {
    backend_->send(std::as_bytes(values), to, tag, purpose);
  }
  template <typename T>
  requires std::is_trivially_copyable_v<T>
  void receive(std::span<T> values, int from, int tag, std::string_view purpose) const {
    backend_->receive(std::as_writable_bytes(values), from, tag, purpose);
  }

  /// Local: the rank a message with this tag is waiting from, if any.
  std::optional<int> probe(int tag, std::string_view purpose) const { return backend_->probe(tag, purpose); }

  Communicator split(int color, int key) const { return Communicator(backend_->split(color, key)); }
  Communicator split_node() const { return Communicator(backend_->split_node()); }
  WorkCounter make_counter() const { return WorkCounter(backend_->make_counter()); }

  /// Collective: if any rank failed, every rank throws AgreedError with the text of the lowest failing rank.
  void agree(const LocalStatus& status, std::string_view stage) const;

  /// Collective: runs `work` and makes a failure on one rank everyone's failure.
  template <typename Work>
  void together(std::string_view stage, Work&& work) const {
    LocalStatus status;
    try {
      work();
    } catch (...) {
      status = describe_current_exception();
    }
    agree(status, stage);
  }

  /// The exception being handled as a status (Error keeps its code, bad_alloc is out of memory, the rest
  /// general).
  static LocalStatus describe_current_exception();

 private:
  template <typename T>
  static constexpr comm::ReduceType reduce_type() {
    if constexpr (std::same_as<T, std::int64_t>)
      return comm::ReduceType::i64;
    else if constexpr (std::same_as<T, std::uint64_t>)
      return comm::ReduceType::u64;
    else if constexpr (std::same_as<T, float>)
      return comm::ReduceType::f32;
    else {
      static_assert(std::same_as<T, Int128>, "this type has no reduction");
      return comm::ReduceType::i128;
    }
  }

  std::unique_ptr<comm::Backend> backend_;
};

/// Starts MPI for the life of the object. Dups the world, sets errors to return, asks for FUNNELED.
/// Finalizing is skipped while an exception unwinds (the other ranks would hang in it).
class MpiEnvironment {
 public:
  MpiEnvironment();
  ~MpiEnvironment();
  MpiEnvironment(const MpiEnvironment&) = delete;
  MpiEnvironment& operator=(const MpiEnvironment&) = delete;
  Communicator world() const;
  /// True if every rank comes here within a few seconds: then all of them failed alike and may finalize.
  bool meet() const;
  /// Ends every rank at once with `exit_code`; for failures after which ranks cannot meet.
  [[noreturn]] static void abort(int exit_code);
  /// True under mpirun or a launcher that speaks PMI(x).
  static bool launched() noexcept;

 private:
  int exceptions_at_start_;
};

}  // namespace llmq
