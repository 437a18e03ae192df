#include "cli/profile_commands.hpp"

#include <fmt/format.h>

#include "cli/environment.hpp"

namespace llmq::cli {

std::vector<ListedProfile> run_profile_list(const StageContext& context) {
  std::vector<ListedProfile> profiles;
  context.comm.together("list profiles", [&] {
    if (!context.comm.is_root()) return;
    profiles = list_profiles(profile_directory());
    for (const ListedProfile& one : profiles) {
      if (!one.problem.empty()) context.log.warn(fmt::format("profile {}: {}", one.name, one.problem));
    }
  });
  return profiles;
}

FoundProfile run_profile_show(const StageContext& context, const Invocation& invocation) {
  FoundProfile found;
  context.comm.together("read the profile", [&] {
    if (context.comm.is_root()) found = find_profile(invocation.profile_name, profile_directory());
  });
  return found;
}

ExitCode exit_code_of(const Communicator& comm, const ProfileValidateResult& result) {
  const auto problems = comm.all_reduce_value<std::uint64_t>(comm.is_root() ? result.problems.size() : 0,
                                                             comm::ReduceOp::max, "problems of a profile");
  return problems == 0 ? ExitCode::ok : ExitCode::profile;
}

}  // namespace llmq::cli
