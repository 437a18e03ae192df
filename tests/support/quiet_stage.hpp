// What a stage needs, alone and quiet; and the model most stages are tried on.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "llmq/model/source.hpp"
#include "llmq/pipeline/stage_context.hpp"

namespace llmq::testing_support {

struct QuietStage {
  Communicator comm = Communicator::serial();
  Log log{LogOptions{Verbosity::quiet, false, false, "", ""}};
  StageContext context{comm, log, 2, std::uint64_t{4} << 30};
};

inline std::unique_ptr<ModelSource> pebble() { return open_model(std::string(LLMQ_TEST_DATA) + "/pebble"); }

}  // namespace llmq::testing_support
