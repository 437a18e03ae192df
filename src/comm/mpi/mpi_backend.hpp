// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include <mpi.h>

#include "llmq/comm/communicator.hpp"

namespace llmq::comm {

/// Takes over `communicator` (already a duplicate) and frees it at the end. MPI 3.1 counts are int: longer
/// buffers go in pieces of at most `chunk_limit` bytes or elements.
std::unique_ptr<Backend> make_mpi_backend(MPI_Comm communicator,
                                          std::size_t chunk_limit = std::size_t{1} << 30);

}  // namespace llmq::comm
