#include "pipeline/profile_allocate.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/format.h>

#include "llmq/allocate/importance_profile.hpp"
#include "llmq/pipeline/quantize_plan.hpp"

#include "pipeline/dynamic.hpp"

namespace llmq {
namespace {

constexpr double kSteps = 10'000;  // of a bit: the sum of rounded limits stays near the target

}  // namespace

std::vector<LayerAssignment> assign_by_allocation(const StageContext& context,
                                                  const ProfileCreateOptions& options) {
  QuantizeOptions quantize;
  quantize.model = options.model;
  quantize.imatrix = options.imatrix;
  quantize.dynamic = DynamicOptions{};
  quantize.dynamic->target_bpw = options.target_bpw;
  quantize.dynamic->target_size = options.target_size;
  quantize.checkpoints = options.checkpoints;
  std::unique_ptr<ModelSource> source;
  std::string fingerprint;
  Vocabulary vocabulary;
  std::optional<DynamicRequest> request;
  context.comm.together("plan", [&] {
    source = open_model(options.model);
    fingerprint = source->fingerprint();
    vocabulary = source->vocabulary();
    request = prepare_dynamic(quantize, {}, *source);
  });
  const RunImatrix imatrix = dynamic_imatrix(context, *request);
  const DynamicChoice choice = choose_dynamic(
      context, *source, *request, imatrix, nullptr, fingerprint, [&](const PlanRecipe& recipe) {
        return fixed_bytes(plan_quantize(*source, vocabulary, recipe, &imatrix.imatrix, fingerprint));
      });
  std::set<std::string> with_super_weights;
  for (const LayerImportance& layer : layer_importance(imatrix.imatrix)) {
    if (layer.has_super_weights) with_super_weights.insert(fmt::format("model.layers.{}", layer.layer));
  }
  std::vector<LayerAssignment> assignments;
  for (const LayerSummary& layer : choice.result.layers) {
    const double bits = std::clamp(std::ceil(layer.bit_width * kSteps) / kSteps, kMinBitWidth, kMaxBitWidth);
    assignments.push_back({layer.layer_name, bits, with_super_weights.contains(layer.layer_name), {}});
  }
  return assignments;
}

}  // namespace llmq
