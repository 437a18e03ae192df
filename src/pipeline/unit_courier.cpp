#include "pipeline/unit_courier.hpp"

#include <array>
#include <chrono>
#include <thread>

#include <fmt/format.h>

#include "llmq/core/error.hpp"

namespace llmq {
namespace {

constexpr int kHeadTag = 4;
constexpr int kBytesTag = 5;
constexpr std::uint64_t kNoMoreUnits = ~std::uint64_t{0};
constexpr auto kPause = std::chrono::milliseconds(1);
constexpr const char* kPurpose = "bring a unit to rank 0";

}  // namespace

UnitCourier::UnitCourier(const Communicator& world, std::size_t depth, std::uint64_t max_unit_bytes,
                         Place place)
    : channel_(world.split(0, world.rank())),
      depth_(depth),
      max_unit_bytes_(max_unit_bytes),
      place_(std::move(place)),
      senders_left_(world.size() - 1) {}

void UnitCourier::hand_over(EncodedUnit unit) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return waiting_.size() < depth_ || closed_; });
  if (!closed_) waiting_.push_back(std::move(unit));
}

void UnitCourier::pump() {
  if (is_root()) {
    receive_waiting();
  } else {
    send_waiting();
  }
}

void UnitCourier::send_waiting() {
  for (;;) {
    EncodedUnit unit;
    {
      const std::lock_guard lock(mutex_);
      if (waiting_.empty()) return;
      unit = std::move(waiting_.front());
      waiting_.pop_front();
      changed_.notify_all();
    }
    const std::array<std::uint64_t, 2> head = {unit.index, unit.bytes.size()};
    channel_.send(std::span<const std::uint64_t>(head), 0, kHeadTag, kPurpose);
    channel_.send(std::span<const std::byte>(unit.bytes), 0, kBytesTag, kPurpose);
  }
}

void UnitCourier::receive_waiting() {
  while (senders_left_ > 0) {
    const auto from = channel_.probe(kHeadTag, kPurpose);
    if (!from) return;
    receive_from(*from);
  }
}

void UnitCourier::receive_from(int rank) {
  std::array<std::uint64_t, 2> head{};
  channel_.receive(std::span<std::uint64_t>(head), rank, kHeadTag, kPurpose);
  if (head[0] == kNoMoreUnits) {
    --senders_left_;
    return;
  }
  if (head[1] > max_unit_bytes_) throw InternalError(fmt::format("a unit of {} bytes is under way", head[1]));
  EncodedUnit unit{static_cast<std::uint32_t>(head[0]), std::vector<std::byte>(head[1])};
  channel_.receive(std::span<std::byte>(unit.bytes), rank, kBytesTag, kPurpose);
  if (error_)
    return;  // the file is lost; what is under way must still arrive, or its sender would wait for ever
  try {
    place_(unit);
  } catch (...) {
    error_ = std::current_exception();
  }
  if (error_) std::rethrow_exception(error_);  // ends the hand-out of units; finish() takes in the rest
}

void UnitCourier::finish() {
  if (!is_root()) {
    send_waiting();
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
      changed_.notify_all();
    }
    const std::array<std::uint64_t, 2> last = {kNoMoreUnits, 0};
    channel_.send(std::span<const std::uint64_t>(last), 0, kHeadTag, kPurpose);
    return;
  }
  while (senders_left_ > 0) {
    try {
      receive_waiting();
    } catch (...) {
      if (!error_) error_ = std::current_exception();
    }
    if (senders_left_ > 0) std::this_thread::sleep_for(kPause);
  }
  if (error_) std::rethrow_exception(error_);
}

}  // namespace llmq
