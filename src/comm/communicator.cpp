#include "llmq/comm/communicator.hpp"

#include <new>

#include "llmq/core/error.hpp"

#include "comm/serial_backend.hpp"

namespace llmq {

Communicator Communicator::serial() { return Communicator(comm::make_serial_backend()); }

void Communicator::broadcast(std::string& text, int root, std::string_view purpose) const {
  std::uint64_t length = text.size();
  broadcast(std::span<std::uint64_t>(&length, 1), root, purpose);
  text.resize(length);
  broadcast(std::span<char>(text), root, purpose);
}

void Communicator::agree(const LocalStatus& status, std::string_view stage) const {
  const auto failing = status.exit_code == 0 ? std::int64_t{size()} : std::int64_t{rank()};
  const std::int64_t first = all_reduce_value<std::int64_t>(failing, comm::ReduceOp::min, stage);
  if (first == size()) return;
  const int root = static_cast<int>(first);
  std::int64_t code = status.exit_code;
  std::string message = status.message;
  std::string suggestion = status.suggestion;
  broadcast(std::span<std::int64_t>(&code, 1), root, stage);
  broadcast(message, root, stage);
  broadcast(suggestion, root, stage);
  throw AgreedError(static_cast<ExitCode>(code), message, suggestion);
}

LocalStatus Communicator::describe_current_exception() {
  try {
    throw;
  } catch (const Error& error) {
    return {static_cast<int>(error.code()), error.what(), error.suggestion()};
  } catch (const std::bad_alloc&) {
    return {static_cast<int>(ExitCode::out_of_memory), "memory allocation failed",
            "Use more ranks, or run on nodes with more memory"};
  } catch (const std::exception& error) {
    return {static_cast<int>(ExitCode::general), error.what(), ""};
  }
}

}  // namespace llmq
