#include "llmq/embedded/texts.hpp"
#include "llmq/model/forward.hpp"
#include "llmq/model/source.hpp"
#include "llmq/model/tokenizer.hpp"
#include "llmq/pipeline/quantize_plan.hpp"
#include "llmq/quant/type_policy.hpp"

#include "scale/measure.hpp"
#include "scale/shape.hpp"

namespace llmq::scale {
namespace {

constexpr int kRepetitions = 5;
namespace fs = std::filesystem;

/// Everything that grows with tensors, vocabulary excluded. @returns CPU seconds and the number of tensors.
std::pair<double, double> opening(const fs::path& model) {
  double tensors = 0;
  const double seconds = best_cpu_seconds(kRepetitions, [&] {
    const auto source = open_model(model);
    const QuantizePlan plan =
        plan_quantize(*source, {}, *find_file_level("Q4_K_M"), nullptr, source->fingerprint());
    tensors = static_cast<double>(plan.tensors.size());
  });
  return {seconds, tensors};
}

/// Rows in pieces of a unit over whole tensors, as workers read them: permuted rows are part of it.
double reading(const ModelSource& source) {
  constexpr std::uint64_t kUnitWeights = std::uint64_t{1} << 20;
  std::vector<float> out;
  double weights = 0;
  const auto read = [&] {
    weights = 0;
    for (const ModelTensor& tensor : source.tensors()) {
      if (tensor.layer < 0 || tensor.layer > 1 || tensor.n_dims < 2) continue;
      const std::uint64_t step = std::max<std::uint64_t>(1, kUnitWeights / tensor.row_elems());
      for (std::uint64_t row = 0; row < tensor.rows(); row += step) {
        const std::uint64_t rows = std::min(step, tensor.rows() - row);
        out.resize(rows * tensor.row_elems());
        source.read_rows(tensor, row, rows, RowOrder::gguf, out);
        weights += static_cast<double>(out.size());
      }
    }
  };
  read();
  const double seconds = best_cpu_seconds(kRepetitions, read);
  return seconds / weights;
}

}  // namespace

void measure_model(const fs::path& model, const fs::path& small, Costs& costs) {
  const auto [seconds, tensors] = opening(model);
  const auto [small_seconds, small_tensors] = opening(small);
  costs.open_tensor = std::max(0.0, (seconds - small_seconds) / (tensors - small_tensors));
  costs.open_model = std::max(0.0, small_seconds - small_tensors * costs.open_tensor);

  const auto source = open_model(model);
  costs.read_weight = reading(*source);
  std::unique_ptr<Tokenizer> tokenizer;
  const double vocabulary =
      best_cpu_seconds(kRepetitions, [&] { tokenizer = make_tokenizer(source->vocabulary()); });
  costs.vocabulary_token = vocabulary / source->spec().vocab_size;
  const std::string_view text = embedded_calibration_text();
  std::size_t ids = 0;
  costs.text_byte =
      best_cpu_seconds(2, [&] { ids += tokenizer->encode(text).size(); }) / static_cast<double>(text.size());
  if (ids == 0) throw InternalError("no tokens");

  std::unique_ptr<ForwardPass> pass;
  costs.load_pass = best_cpu_seconds(1, [&] { pass = make_forward_pass(source->spec()); });
  const WeightLoader loader = make_weight_loader(*source);
  costs.load_weight = best_cpu_seconds(kRepetitions, [&] { pass->load_layer(1, loader); }) /
                      layer_work(source->spec(), 1).weights;
}

}  // namespace llmq::scale
