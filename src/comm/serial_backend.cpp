#include "comm/serial_backend.hpp"

#include <fmt/format.h>

#include "llmq/core/error.hpp"

namespace llmq::comm {
namespace {

class SerialCounter final : public CounterBackend {
 public:
  std::uint64_t fetch_add(std::uint64_t amount) override {
    const std::uint64_t before = value_;
    value_ += amount;
    return before;
  }

 private:
  std::uint64_t value_ = 0;
};

class SerialBackend final : public Backend {
 public:
  int rank() const noexcept override { return 0; }
  int size() const noexcept override { return 1; }
  void barrier(std::string_view) override {}
  void broadcast(std::span<std::byte>, int root, std::string_view purpose) override {
    check_rank(root, purpose);
  }
  void all_reduce(void*, std::size_t, ReduceType, ReduceOp, std::string_view) override {}
  void reduce_to_root(void*, std::size_t, ReduceType, ReduceOp, std::string_view) override {}
  std::vector<std::vector<std::byte>> gather(std::span<const std::byte> bytes, std::string_view) override {
    return {std::vector<std::byte>(bytes.begin(), bytes.end())};
  }
  void send(std::span<const std::byte>, int, int, std::string_view purpose) override { no_peer(purpose); }
  void receive(std::span<std::byte>, int, int, std::string_view purpose) override { no_peer(purpose); }
  std::optional<int> probe(int, std::string_view) override { return std::nullopt; }
  std::unique_ptr<Backend> split(int, int) override { return std::make_unique<SerialBackend>(); }
  std::unique_ptr<Backend> split_node() override { return std::make_unique<SerialBackend>(); }
  std::unique_ptr<CounterBackend> make_counter() override { return std::make_unique<SerialCounter>(); }

 private:
  static void check_rank(int rank, std::string_view purpose) {
    if (rank != 0) throw InternalError(fmt::format("{}: there is no rank {} in a run of one", purpose, rank));
  }
  [[noreturn]] static void no_peer(std::string_view purpose) {
    throw InternalError(fmt::format("{}: a run of one rank has nobody to talk to", purpose));
  }
};

}  // namespace

std::unique_ptr<Backend> make_serial_backend() { return std::make_unique<SerialBackend>(); }

}  // namespace llmq::comm
