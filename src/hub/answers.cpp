#include "hub/answers.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "llmq/core/error.hpp"
#include "llmq/hub/cache.hpp"

#include "hub/names.hpp"
#include "hub/url.hpp"

namespace llmq::hub {
namespace {

std::string host(const Settings& settings) { return shown_url(settings.endpoint); }

std::string page_of(const ModelId& id, const Settings& settings) {
  return fmt::format("{}/{}", host(settings), id.repository());
}

/// The hub's own name of the error, where it gives one.
std::string error_name(const HttpHead& head) { return head.header("x-error-code"); }

[[noreturn]] void not_found(const HubAnswer& answer, const ModelId& id, const Settings& settings,
                            const std::string& what) {
  const std::string name = error_name(answer.outcome.head);
  if (name == "RevisionNotFound") {
    throw Error(ExitCode::model_not_found,
                fmt::format("{} has no revision \"{}\"", id.repository(), id.revision),
                fmt::format("See its branches and tags at {}", page_of(id, settings)));
  }
  if (name == "EntryNotFound") {
    throw Error(ExitCode::model_not_found,
                fmt::format("{} is listed but missing at {}", what, host(settings)),
                "Try again later, or another revision (MODEL@REVISION)");
  }
  throw Error(
      ExitCode::model_not_found,
      fmt::format("{}: no such file or directory, and no such model at {}", id.text(), host(settings)),
      "Check the spelling" + near_matches(id, settings));
}

[[noreturn]] void not_allowed(const HubAnswer& answer, const ModelId& id, const Settings& settings) {
  const int status = answer.outcome.head.status;
  const bool gated = error_name(answer.outcome.head) == "GatedRepo";
  const std::string message =
      gated ? fmt::format("{} is only for those who accepted its licence (the hub answered {})", id.text(),
                          status)
            : fmt::format("{} is not there for you (the hub answered {})", id.text(), status);
  std::string advice;
  if (settings.token.empty()) {
    advice = fmt::format("Set HF_TOKEN to a token of {}/settings/tokens", host(settings));
    if (gated || status == 403) advice += fmt::format(" and accept the licence at {}", page_of(id, settings));
  } else {
    advice = fmt::format(
        "Accept the licence at {} with the account of your token, or use a token that may read it",
        page_of(id, settings));
  }
  if (!gated) advice += ". Hubs answer so for models that do not exist, too" + near_matches(id, settings);
  throw Error(ExitCode::authentication_required, message, advice);
}

}  // namespace

Verdict judge(const HubAnswer& answer) noexcept {
  if (answer.outcome.ending == Ending::broken) return Verdict::try_again;
  if (answer.outcome.ending != Ending::complete) return Verdict::give_up;
  const int status = answer.outcome.head.status;
  if (status == 200 || status == 206) return Verdict::good;
  if (status == 408 || status == 425 || status == 429 || status >= 500) return Verdict::try_again;
  // A link to a storage host that ran out meanwhile: the hub gives a new one.
  if (answer.from_elsewhere && (status == 400 || status == 401 || status == 403)) return Verdict::try_again;
  return Verdict::give_up;
}

void refuse(const HubAnswer& answer, const ModelId& id, const Settings& settings, const std::string& what) {
  if (answer.outcome.ending == Ending::complete && !answer.from_elsewhere) {
    const int status = answer.outcome.head.status;
    if (status == 404 || status == 410) not_found(answer, id, settings, what);
    if (status == 401 || status == 403) not_allowed(answer, id, settings);
  }
  throw Error(ExitCode::general, fmt::format("cannot get {} of {}: {}", what, id.text(), reason_of(answer)),
              fmt::format("Check the connection to {} (HF_ENDPOINT, proxy, certificates)", host(settings)));
}

void lose_patience(const HubAnswer& answer, const ModelId& id, const Settings& settings,
                   const std::string& what) {
  throw Error(
      ExitCode::general,
      fmt::format("cannot get {} of {} from {}: {}", what, id.text(), host(settings), reason_of(answer)),
      "Run the same command again when the connection is back: what has arrived is kept and not asked for "
      "again");
}

void cannot_ask(const HubAnswer& answer, const ModelId& id, const Settings& settings) {
  throw Error(
      ExitCode::general,
      fmt::format("{}: no such file or directory, and {} cannot be asked for it: {}", id.text(),
                  host(settings), reason_of(answer)),
      "Check the path, or run the same command again when the connection is back (HF_ENDPOINT, proxy)" +
          near_matches(id, settings));
}

std::string reason_of(const HubAnswer& answer) {
  return answer.outcome.ending == Ending::complete
             ? fmt::format("the server answered {}", answer.outcome.head.status)
             : shown(answer.outcome.reason, 300);
}

std::string near_matches(const ModelId& id, const Settings& settings) {
  const std::vector<std::string> near = near_names(id.repository(), cached_repositories(settings.caches));
  return near.empty() ? std::string() : fmt::format("; did you mean {}?", fmt::join(near, " or "));
}

}  // namespace llmq::hub
