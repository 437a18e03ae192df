// Finished units on their way to rank 0, where ranks share no file system (--assemble gather). Worker threads
// put encoded rows into a short queue; only the main thread talks. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <span>
#include <vector>

#include "llmq/comm/communicator.hpp"

namespace llmq {

struct EncodedUnit {
  std::uint32_t index = 0;
  std::vector<std::byte> bytes;
};

class UnitCourier {
 public:
  using Place = std::function<void(const EncodedUnit&)>;  ///< rank 0: writes a unit into the file

  /// Collective. @param depth  units a rank may have under way   @param max_unit_bytes  of the plan
  UnitCourier(const Communicator& world, std::size_t depth, std::uint64_t max_unit_bytes, Place place);

  /// Worker threads of ranks other than 0. Waits while `depth` units are under way; drops the unit once the
  /// rank has failed.
  void hand_over(EncodedUnit unit);
  /// Main thread, now and then: sends what waits, or takes in what has come.
  void pump();
  /// Collective, main thread, after the workers have ended: nothing is under way afterwards. @throws what
  /// placing threw.
  void finish();

 private:
  void send_waiting();
  void receive_waiting();
  void receive_from(int rank);
  bool is_root() const noexcept { return channel_.is_root(); }

  Communicator channel_;
  std::size_t depth_;
  std::uint64_t max_unit_bytes_;
  Place place_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<EncodedUnit> waiting_;
  bool closed_ = false;
  int senders_left_;
  std::exception_ptr error_;
};

}  // namespace llmq
