// Threads of one rank: a parallel loop over independent pieces. The pieces decide the result, not the
// threads. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>

namespace llmq {

/// Calls work(index, worker) for index 0..count-1 on `threads` threads, each index once, handed out in order.
/// `worker` is 0..threads-1 and tells which thread runs, for scratch memory. With one thread it is a plain
/// loop. The first exception stops the handing out and is rethrown here, after all threads have ended.
void parallel_for(std::size_t count, std::size_t threads,
                  const std::function<void(std::size_t index, std::size_t worker)>& work);

}  // namespace llmq
