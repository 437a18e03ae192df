#include "llmq/pipeline/hub_model.hpp"

#include <chrono>
#include <string>
#include <thread>

#include <fmt/format.h>

#include "llmq/hub/cache.hpp"
#include "llmq/hub/fetch.hpp"
#include "llmq/pipeline/interrupt.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

constexpr int kDoneTag = 6;
constexpr auto kPause = std::chrono::milliseconds(20);
constexpr const char* kPurpose = "wait for a download";

/// Collective: rank 0 works, for hours if it must; the others look for its message now and then instead of
/// spinning inside a collective call. A failure is everyone's.
template <typename Work>
void while_others_sleep(const Communicator& comm, std::string_view stage, Work work) {
  char done = 1;
  LocalStatus status;
  if (comm.is_root()) {
    try {
      work();
    } catch (...) {
      status = Communicator::describe_current_exception();
    }
    for (int rank = 1; rank < comm.size(); ++rank)
      comm.send(std::span<const char>(&done, 1), rank, kDoneTag, kPurpose);
  } else {
    while (!comm.probe(kDoneTag, kPurpose)) std::this_thread::sleep_for(kPause);
    comm.receive(std::span(&done, 1), 0, kDoneTag, kPurpose);
  }
  comm.agree(status, stage);
}

}  // namespace

fs::path local_model(const StageContext& context, const fs::path& model) {
  if (!hub::parse_model_id(model.string())) return model;
  std::string place;
  while_others_sleep(context.comm, "find the model", [&] {
    if (const auto id = hub::remote_model_id(model))
      place =
          hub::fetch_model(hub::settings_from_environment(), *id, context.log, &interrupt_requested).string();
  });
  context.comm.broadcast(place, 0, "share where the model is");
  if (place.empty()) return model;
  context.comm.together("see the model", [&] {
    if (fs::is_regular_file(fs::path(place) / "config.json")) return;
    throw Error(
        ExitCode::model_not_found,
        fmt::format("rank {} does not see the files of {} in {}", context.comm.rank(), model.string(), place),
        "Set HF_HUB_CACHE or LLM_QUANTIZE_CACHE to a directory that all nodes share");
  });
  return place;
}

fs::path cached_or_same(const fs::path& model) {
  const auto id = hub::remote_model_id(model);
  if (!id) return model;
  return hub::find_snapshot(hub::settings_from_environment().caches, *id, false).value_or(model);
}

}  // namespace llmq
