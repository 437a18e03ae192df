// The MPI transport: bytes, counts beyond int in pieces, 128-bit sums through a user-defined operation.
// SPDX-License-Identifier: Apache-2.0
#include "comm/mpi/mpi_backend.hpp"

#include <algorithm>
#include <cstring>

#include <climits>

#include "llmq/core/checked.hpp"

#include "comm/mpi/mpi_calls.hpp"

namespace llmq::comm {
namespace {

/// inout += in for 128-bit integers. Overflow is caught where values are made: to_fixed leaves one spare bit
/// and add_fixed checks; a reduction adds at most as many terms as there are ranks.
void sum_i128(void* in, void* inout, int* length, MPI_Datatype*) {
  const auto* from = static_cast<const unsigned char*>(in);
  auto* to = static_cast<unsigned char*>(inout);
  for (int i = 0; i < *length; ++i, from += sizeof(Int128), to += sizeof(Int128)) {
    UInt128 a = 0;
    UInt128 b = 0;
    std::memcpy(&a, from, sizeof a);
    std::memcpy(&b, to, sizeof b);
    b += a;
    std::memcpy(to, &b, sizeof b);
  }
}

/// The committed datatype and operation for 128-bit integers, made at first use and kept until MPI ends.
struct Int128Type {
  MPI_Datatype type = MPI_DATATYPE_NULL;
  MPI_Op sum = MPI_OP_NULL;
  Int128Type() {
    check(MPI_Type_contiguous(sizeof(Int128), MPI_BYTE, &type), "MPI_Type_contiguous", "128-bit sums");
    check(MPI_Type_commit(&type), "MPI_Type_commit", "128-bit sums");
    check(MPI_Op_create(&sum_i128, 1, &sum), "MPI_Op_create", "128-bit sums");
  }
  static const Int128Type& instance() {
    static const Int128Type type;
    return type;
  }
};

MPI_Datatype native_type(ReduceType type) {
  switch (type) {
    case ReduceType::i64:
      return MPI_INT64_T;
    case ReduceType::u64:
      return MPI_UINT64_T;
    case ReduceType::f32:
      return MPI_FLOAT;
    case ReduceType::i128:
      return Int128Type::instance().type;
  }
  throw InternalError("unknown reduce type");
}

std::size_t element_bytes(ReduceType type) {
  return type == ReduceType::i128  ? sizeof(Int128)
         : type == ReduceType::f32 ? sizeof(float)
                                   : sizeof(std::int64_t);
}

MPI_Op native_op(ReduceType type, ReduceOp op) {
  if (type == ReduceType::i128) {
    if (op != ReduceOp::sum) throw InternalError("128-bit integers only have sums");
    return Int128Type::instance().sum;
  }
  if (type == ReduceType::f32 && op == ReduceOp::sum) throw InternalError("f32 sums depend on rank order");
  return op == ReduceOp::sum ? MPI_SUM : op == ReduceOp::max ? MPI_MAX : MPI_MIN;
}

/// One-sided counter. MPI_Win_allocate memory answers without the owner's help inside a node.
class MpiCounter final : public CounterBackend {
 public:
  explicit MpiCounter(MPI_Comm communicator) {
    int rank = 0;
    check(MPI_Comm_rank(communicator, &rank), "MPI_Comm_rank", "work counter");
    const MPI_Aint bytes = rank == 0 ? sizeof(std::uint64_t) : 0;
    check(MPI_Win_allocate(bytes, sizeof(std::uint64_t), MPI_INFO_NULL, communicator, &memory_, &window_),
          "MPI_Win_allocate", "work counter");
    check(MPI_Win_lock_all(0, window_), "MPI_Win_lock_all", "work counter");
    if (rank == 0) {
      const std::uint64_t zero = 0;
      check(MPI_Put(&zero, 1, MPI_UINT64_T, 0, 0, 1, MPI_UINT64_T, window_), "MPI_Put", "work counter");
      check(MPI_Win_flush(0, window_), "MPI_Win_flush", "work counter");
    }
    check(MPI_Barrier(communicator), "MPI_Barrier", "work counter");
  }
  ~MpiCounter() override {
    // Freeing is collective: while an exception unwinds the other ranks may be elsewhere, so leave it to the
    // end.
    if (std::uncaught_exceptions() > 0) return;
    MPI_Win_unlock_all(window_);
    MPI_Win_free(&window_);
  }
  std::uint64_t fetch_add(std::uint64_t amount) override {
    std::uint64_t before = 0;
    check(MPI_Fetch_and_op(&amount, &before, MPI_UINT64_T, 0, 0, MPI_SUM, window_), "MPI_Fetch_and_op",
          "take work");
    check(MPI_Win_flush(0, window_), "MPI_Win_flush", "take work");
    return before;
  }

 private:
  MPI_Win window_ = MPI_WIN_NULL;
  std::uint64_t* memory_ = nullptr;
};

class MpiBackend final : public Backend {
 public:
  MpiBackend(MPI_Comm communicator, std::size_t chunk_limit)
      : comm_(communicator), chunk_limit_(chunk_limit) {
    check(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler", "set up");
    check(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank", "set up");
    check(MPI_Comm_size(comm_, &size_), "MPI_Comm_size", "set up");
  }
  ~MpiBackend() override {
    int finalized = 0;
    MPI_Finalized(&finalized);
    if (finalized == 0 && std::uncaught_exceptions() == 0) MPI_Comm_free(&comm_);
  }

  int rank() const noexcept override { return rank_; }
  int size() const noexcept override { return size_; }
  const void* native() const noexcept override { return &comm_; }

  void barrier(std::string_view purpose) override { check(MPI_Barrier(comm_), "MPI_Barrier", purpose); }

  void broadcast(std::span<std::byte> bytes, int root, std::string_view purpose) override {
    check_rank(root, purpose);
    in_chunks(bytes.size(), [&](std::size_t begin, int count) {
      check(MPI_Bcast(bytes.data() + begin, count, MPI_BYTE, root, comm_), "MPI_Bcast", purpose);
    });
  }

  void all_reduce(void* data, std::size_t count, ReduceType type, ReduceOp op,
                  std::string_view purpose) override {
    auto* base = static_cast<std::byte*>(data);
    in_chunks(count, [&](std::size_t begin, int n) {
      check(MPI_Allreduce(MPI_IN_PLACE, base + begin * element_bytes(type), n, native_type(type),
                          native_op(type, op), comm_),
            "MPI_Allreduce", purpose);
    });
  }

  void reduce_to_root(void* data, std::size_t count, ReduceType type, ReduceOp op,
                      std::string_view purpose) override {
    auto* base = static_cast<std::byte*>(data);
    in_chunks(count, [&](std::size_t begin, int n) {
      void* piece = base + begin * element_bytes(type);
      check(MPI_Reduce(rank_ == 0 ? MPI_IN_PLACE : piece, rank_ == 0 ? piece : nullptr, n, native_type(type),
                       native_op(type, op), 0, comm_),
            "MPI_Reduce", purpose);
    });
  }

  std::vector<std::vector<std::byte>> gather(std::span<const std::byte> bytes,
                                             std::string_view purpose) override {
    const std::uint64_t mine = bytes.size();
    std::vector<std::uint64_t> sizes(rank_ == 0 ? static_cast<std::size_t>(size_) : 0);
    check(MPI_Gather(&mine, 1, MPI_UINT64_T, sizes.data(), 1, MPI_UINT64_T, 0, comm_), "MPI_Gather", purpose);
    std::vector<std::vector<std::byte>> parts;
    if (rank_ != 0) {
      if (mine > 0) send(bytes, 0, kGatherTag, purpose);
      return parts;
    }
    parts.resize(sizes.size());
    parts[0].assign(bytes.begin(), bytes.end());
    for (std::size_t peer = 1; peer < sizes.size(); ++peer) {
      parts[peer].resize(sizes[peer]);
      if (sizes[peer] > 0) receive(parts[peer], static_cast<int>(peer), kGatherTag, purpose);
    }
    return parts;
  }

  void send(std::span<const std::byte> bytes, int to, int tag, std::string_view purpose) override {
    check_rank(to, purpose);
    in_chunks(bytes.size(), [&](std::size_t begin, int count) {
      check(MPI_Send(bytes.data() + begin, count, MPI_BYTE, to, tag, comm_), "MPI_Send", purpose);
    });
  }

  void receive(std::span<std::byte> bytes, int from, int tag, std::string_view purpose) override {
    check_rank(from, purpose);
    in_chunks(bytes.size(), [&](std::size_t begin, int count) {
      MPI_Status status;
      check(MPI_Recv(bytes.data() + begin, count, MPI_BYTE, from, tag, comm_, &status), "MPI_Recv", purpose);
      int got = 0;
      check(MPI_Get_count(&status, MPI_BYTE, &got), "MPI_Get_count", purpose);
      if (got != count)
        throw InternalError(fmt::format("{}: {} bytes came, {} were due", purpose, got, count));
    });
  }

  std::optional<int> probe(int tag, std::string_view purpose) override {
    int found = 0;
    MPI_Status status;
    check(MPI_Iprobe(MPI_ANY_SOURCE, tag, comm_, &found, &status), "MPI_Iprobe", purpose);
    if (found == 0) return std::nullopt;
    return status.MPI_SOURCE;
  }

  std::unique_ptr<Backend> split(int color, int key) override {
    MPI_Comm part = MPI_COMM_NULL;
    check(MPI_Comm_split(comm_, color, key, &part), "MPI_Comm_split", "split ranks");
    return std::make_unique<MpiBackend>(part, chunk_limit_);
  }

  std::unique_ptr<Backend> split_node() override {
    MPI_Comm part = MPI_COMM_NULL;
    check(MPI_Comm_split_type(comm_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &part),
          "MPI_Comm_split_type", "find the ranks of a node");
    return std::make_unique<MpiBackend>(part, chunk_limit_);
  }

  std::unique_ptr<CounterBackend> make_counter() override { return std::make_unique<MpiCounter>(comm_); }

 private:
  static constexpr int kGatherTag = 32000;

  template <typename Call>
  void in_chunks(std::size_t total, Call&& call) const {
    for (std::size_t begin = 0; begin < total;) {
      const std::size_t piece = std::min(chunk_limit_, total - begin);
      call(begin, checked_cast<int>(piece, "message size"));
      begin += piece;
    }
  }

  void check_rank(int rank, std::string_view purpose) const {
    if (rank < 0 || rank >= size_)
      throw InternalError(fmt::format("{}: no rank {} among {}", purpose, rank, size_));
  }

  MPI_Comm comm_;
  std::size_t chunk_limit_;
  int rank_ = 0;
  int size_ = 1;
};

}  // namespace

std::unique_ptr<Backend> make_mpi_backend(MPI_Comm communicator, std::size_t chunk_limit) {
  return std::make_unique<MpiBackend>(communicator, chunk_limit);
}

}  // namespace llmq::comm
