#include <memory>

#include "llmq/hub/cache.hpp"
#include "llmq/pipeline/profile.hpp"
#include "llmq/pipeline/quantize_plan.hpp"

namespace llmq {
namespace {

ProfileValidateResult validate(const ProfileValidateOptions& options) {
  const Profile profile = find_profile(options.profile, options.directory).profile;
  const std::unique_ptr<ModelSource> source = open_model(options.model);
  const std::vector<ProfileTensor> tensors = profile_tensors(*source);
  ProfileFit fit = fit_profile(profile, tensors);
  ProfileValidateResult result;
  result.profile = options.profile;
  result.model = hub::model_title(options.model);
  double weights = 0;
  for (std::size_t index = 0; index < tensors.size(); ++index) {
    if (!tensors[index].quantizable) continue;
    ++result.tensors;
    weights += static_cast<double>(tensors[index].elements());
    if (fit.tensors[index].type) ++result.pinned;
    if (fit.tensors[index].group) ++result.limited;
  }
  result.most_bytes = fit.most_bytes;
  if (fit.most_bytes) result.most_bpw = 8.0 * static_cast<double>(*fit.most_bytes) / weights;
  result.problems = std::move(fit.problems);
  result.notes = std::move(fit.notes);
  return result;
}

}  // namespace

std::vector<ProfileTensor> profile_tensors(const ModelSource& source, const TypeRules& rules) {
  const bool has_output = source.find("output.weight") != nullptr;
  std::vector<ProfileTensor> tensors;
  for (const ModelTensor& tensor : source.tensors()) {
    const MixTensor mix = mix_tensor(tensor);
    const bool generated = tensor.source_name.empty();
    tensors.push_back({tensor.name, tensor.layer, tensor.row_elems(), tensor.rows(),
                       is_eligible(mix) && !ruled_type(rules, tensor.name, has_output).kept,
                       generated ? 0 : tensor.bytes_as(tensor.stored_type),
                       tensor.bytes_as(mix.source_type)});
  }
  return tensors;
}

ProfileValidateResult run_profile_validate(const StageContext& context,
                                           const ProfileValidateOptions& options) {
  ProfileValidateResult result;
  context.comm.together("validate the profile", [&] {
    if (context.comm.is_root()) result = validate(options);
  });
  return result;
}

}  // namespace llmq
