// Start and end of MPI, and the question whether a launcher stands behind this process.
// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <cstdlib>
#include <exception>
#include <thread>

#include "comm/mpi/mpi_backend.hpp"
#include "comm/mpi/mpi_calls.hpp"

namespace llmq {

MpiEnvironment::MpiEnvironment() : exceptions_at_start_(std::uncaught_exceptions()) {
  int provided = 0;
  comm::check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread",
              "start MPI");
  if (provided < MPI_THREAD_FUNNELED) {
    throw Error(ExitCode::general, "this MPI library does not allow threads beside the one that communicates",
                "Use an MPI library built with thread support");
  }
}

MpiEnvironment::~MpiEnvironment() {
  if (std::uncaught_exceptions() > exceptions_at_start_) return;
  MPI_Finalize();
}

Communicator MpiEnvironment::world() const {
  MPI_Comm duplicate = MPI_COMM_NULL;
  comm::check(MPI_Comm_dup(MPI_COMM_WORLD, &duplicate), "MPI_Comm_dup", "start MPI");
  return Communicator(comm::make_mpi_backend(duplicate));
}

bool MpiEnvironment::meet() const {
  constexpr auto kPatience = std::chrono::seconds(5);
  MPI_Request request = MPI_REQUEST_NULL;
  if (MPI_Ibarrier(MPI_COMM_WORLD, &request) != MPI_SUCCESS) return false;
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  int done = 0;
  while (std::chrono::steady_clock::now() < deadline) {
    if (MPI_Test(&request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS) return false;
    if (done != 0) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

void MpiEnvironment::abort(int exit_code) {
  MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::abort();
}

bool MpiEnvironment::launched() noexcept {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"}) {
    if (std::getenv(name) != nullptr) return true;
  }
  return false;
}

}  // namespace llmq
