// The back end of one rank: a full implementation with the checks of the MPI one, not a stub.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "llmq/comm/communicator.hpp"

namespace llmq::comm {

std::unique_ptr<Backend> make_serial_backend();

}  // namespace llmq::comm
