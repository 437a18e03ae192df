#include "cli/json_document.hpp"

namespace llmq::cli {

std::string text(const Json& document) {
  return document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace llmq::cli
