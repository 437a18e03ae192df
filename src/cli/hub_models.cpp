#include "cli/hub_models.hpp"

#include "llmq/pipeline/hub_model.hpp"

namespace llmq::cli {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path*> models_of(Invocation& invocation) {
  switch (invocation.command) {
    case Command::analyze:
      return {&invocation.analyze.model};
    case Command::quantize:
      return {&invocation.quantize.model};
    case Command::convert:
      return {&invocation.convert.input};
    case Command::profile_create:
      return {&invocation.profile_create.model};
    case Command::profile_validate:
      return {&invocation.profile_validate.model};
    case Command::quality_report:
      return {&invocation.quality.original, &invocation.quality.quantized};
    case Command::quality_compare: {
      std::vector<fs::path*> models = {&invocation.compare.original};
      for (fs::path& candidate : invocation.compare.quantized) models.push_back(&candidate);
      return models;
    }
    case Command::info:
    case Command::profile_list:
    case Command::profile_show:
    case Command::run:  // brings the models of its steps itself
    case Command::none:
      return {};
  }
  return {};
}

}  // namespace

void bring_models(const StageContext& context, Invocation& invocation) {
  for (fs::path* model : models_of(invocation)) *model = local_model(context, *model);
  if (invocation.command == Command::info)
    invocation.info_path = local_model(context, invocation.info_path).string();
}

}  // namespace llmq::cli
