#include "scale/shape.hpp"

#include "llmq/core/error.hpp"

#include "model/architectures/architecture.hpp"

namespace llmq::scale {
namespace {

struct Preset {
  const char* name;
  std::uint32_t layers, hidden, ffn, heads, kv_heads, vocab, files;
};
// 280m is the model of bench/run; the others are Llama 3's published shapes.
constexpr Preset kPresets[] = {
    {"280m", 24, 1024, 2816, 16, 4, 2048, 1},
    {"8b", 32, 4096, 14336, 32, 8, 128256, 4},
    {"70b", 80, 8192, 28672, 64, 8, 128256, 30},
};

class ShapeSource final : public ModelSource {
 public:
  explicit ShapeSource(const Shape& shape) : spec_(shape.spec) {
    for (const TensorRule& rule : kLlamaArchitecture.tensor_rules(spec_)) {
      if (!rule.required && rule.gguf_name != "output.weight") continue;
      if (rule.gguf_name == "output.weight" && spec_.tied_embeddings) continue;
      ModelTensor tensor;
      tensor.name = rule.gguf_name;
      tensor.source_name = rule.hf_name;
      tensor.layer = rule.layer;
      tensor.n_dims = static_cast<std::uint32_t>(rule.shape.size());
      for (std::size_t d = 0; d < rule.shape.size(); ++d)
        tensor.ne[d] = rule.shape[rule.shape.size() - 1 - d];
      tensor.stored_type = GgmlType::BF16;
      tensor.permuted_heads = rule.permuted_heads;
      tensors_.push_back(std::move(tensor));
    }
  }
  const ModelSpec& spec() const noexcept override { return spec_; }
  const std::vector<ModelTensor>& tensors() const noexcept override { return tensors_; }
  void read_rows(const ModelTensor&, std::uint64_t, std::uint64_t, RowOrder,
                 std::span<float>) const override {
    throw InternalError("a shape has no weights");
  }
  void will_need(const ModelTensor&) const noexcept override {}
  Vocabulary vocabulary() const override { return {}; }
  std::string fingerprint() const override { return {}; }
  bool is_gguf() const noexcept override { return false; }

 private:
  ModelSpec spec_;
  std::vector<ModelTensor> tensors_;
};

}  // namespace

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const Preset& preset : kPresets) names.emplace_back(preset.name);
  return names;
}

Shape shape_of(const std::string& name) {
  Shape shape;
  ModelSpec& spec = shape.spec;
  for (const Preset& preset : kPresets) {
    if (name != preset.name) continue;
    spec.architecture = "llama";
    spec.class_name = "LlamaForCausalLM";
    spec.name = preset.name;
    spec.torch_dtype = "bfloat16";
    spec.n_layers = preset.layers;
    spec.hidden_size = preset.hidden;
    spec.intermediate_size = preset.ffn;
    spec.n_heads = preset.heads;
    spec.n_kv_heads = preset.kv_heads;
    spec.head_dim = preset.hidden / preset.heads;
    spec.vocab_size = preset.vocab;
    spec.context_length = 8192;
    shape.files = preset.files;
    return shape;
  }
  std::filesystem::path directory = name;
  if (directory.filename() == "config.json") directory = directory.parent_path();
  if (!std::filesystem::exists(directory / "config.json")) {
    throw Error(ExitCode::invalid_arguments, "no model shape \"" + name + "\"",
                "Give a preset (280m 8b 70b) or a directory with config.json");
  }
  spec = read_model_spec(directory);
  return shape;
}

std::unique_ptr<ModelSource> source_of(const Shape& shape) { return std::make_unique<ShapeSource>(shape); }

LayerWork layer_work(const ModelSpec& spec, double ctx) {
  const double hidden = spec.hidden_size;
  const double ffn = spec.intermediate_size;
  const double query = static_cast<double>(spec.n_heads) * spec.head_dim;
  const double key = static_cast<double>(spec.n_kv_heads) * spec.head_dim;
  LayerWork work;
  work.weights = hidden * (query + 2 * key) + query * hidden + 3 * hidden * ffn;
  work.columns = 2 * hidden + query + ffn;
  work.statistic_columns = 5 * hidden + query + ffn;
  work.matmul_flops = 2 * ctx * work.weights;
  work.attention_flops = 2 * ctx * ctx * query;  // scores and values, each 2 x ctx^2 / 2 x query
  work.elementwise_values = ctx * (2 * hidden + ffn);
  return work;
}

}  // namespace llmq::scale
