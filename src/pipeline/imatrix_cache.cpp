#include "pipeline/imatrix_cache.hpp"

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/formats/imatrix.hpp"

namespace llmq {

namespace fs = std::filesystem;

CachePlace find_cached(const StageContext& context, const fs::path& directory, const std::string& key) {
  CachePlace place{directory / (key + ".imatrix"), false};
  context.comm.together("look into the cache of importance matrices", [&] {
    if (!context.comm.is_root()) return;
    std::error_code error;
    fs::create_directories(directory, error);
    if (error) {
      throw Error(ExitCode::invalid_arguments, fmt::format("{}: {}", directory.string(), error.message()),
                  "Choose a cache directory that can be written");
    }
    if (!fs::exists(place.path)) return;
    try {
      read_imatrix(place.path);
      place.found = true;
    } catch (const Error& damaged) {
      context.log.warn(fmt::format("a cached importance matrix is made anew: {}", damaged.what()));
    }
  });
  const auto found = static_cast<std::uint64_t>(place.found);
  place.found = context.comm.all_reduce_value(found, comm::ReduceOp::max, "share the cache's answer") != 0;
  return place;
}

}  // namespace llmq
