#include "cli/options/command_parser.hpp"

#include <fmt/format.h>

#include "llmq/core/error.hpp"

namespace llmq::cli {

void CommandParser::add_planned_flags(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    app_.add_flag_callback(name,
                           [name] {
                             throw Error(ExitCode::unsupported_conversion,
                                         fmt::format("{} is not supported yet", name), "See --help");
                           })
        ->group("");
  }
}

}  // namespace llmq::cli
