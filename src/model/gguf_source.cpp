// A GGUF file, or a set of them, as a ModelSource: rows are decoded by room `quant`.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/hash.hpp"
#include "llmq/formats/gguf_split.hpp"
#include "llmq/quant/codec.hpp"

#include "model/architectures/architecture.hpp"
#include "model/row_permutation.hpp"
#include "model/sources.hpp"

namespace llmq {
namespace {

constexpr std::size_t kFingerprintSample = 4096;

class GgufSource final : public ModelSource {
 public:
  explicit GgufSource(const std::filesystem::path& path) : file_(path) {
    spec_ = model_spec_from_gguf(file_.header());
    if (spec_.name.empty()) spec_.name = gguf_stem(path).filename().string();
    read_rope_factors();
    map_tensors(path);
    spec_.torch_dtype = to_dtype_name(find("token_embd.weight")->stored_type);
  }

  const ModelSpec& spec() const noexcept override { return spec_; }
  const std::vector<ModelTensor>& tensors() const noexcept override { return tensors_; }
  bool is_gguf() const noexcept override { return true; }

  void read_rows(const ModelTensor& tensor, std::uint64_t row, std::uint64_t count, RowOrder order,
                 std::span<float> out) const override {
    if (tensor.permuted_heads == 0 || order == RowOrder::gguf) return read_run(tensor, row, count, out);
    if (tensor.n_dims == 1) return read_permuted_bias(tensor, out);
    read_permuted(tensor, row, out);
  }

  void will_need(const ModelTensor& tensor) const noexcept override {
    const GgufTensorInfo* info = file_.header().find(tensor.name);
    if (info != nullptr) file_.will_need(*info);
  }
  Vocabulary vocabulary() const override { return vocabulary_from_gguf(file_.header().metadata); }

  std::string fingerprint() const override {
    Sha256 hash;
    std::vector<std::byte> sample;
    for (const GgufTensorInfo& info : file_.header().tensors) {
      hash.field(info.name).field(static_cast<std::uint64_t>(info.type));
      for (const std::uint64_t extent : info.ne) hash.field(extent);
      const std::uint64_t size = info.size_bytes;
      const std::uint64_t length = std::min<std::uint64_t>(kFingerprintSample, size);
      for (const std::uint64_t begin : {std::uint64_t{0}, (size - length) / 2, size - length}) {
        sample.resize(length);
        file_.read(info, begin, sample);
        hash.update(sample);
      }
    }
    return hash.hex();
  }

 private:
  static std::string to_dtype_name(GgmlType type) {
    const std::optional<DType> plain = plain_dtype(type);
    return std::string(plain ? torch_dtype_name(*plain) : type_name(type));
  }

  void read_rope_factors() {
    const bool scaled = spec_.rope_scaling != RopeScaling::none;
    if (read_factors("rope_freqs.weight", spec_.stored_rope_factors)) {
      if (scaled) {
        throw Error(ExitCode::unsupported_conversion,
                    "rope_freqs.weight beside another rope scaling is not supported",
                    "Take the model in another form, such as its Hugging Face directory");
      }
      spec_.rope_scaling = RopeScaling::llama3;
    }
    const bool brief = read_factors("rope_factors_short.weight", spec_.rope_short_factors);
    const bool both = read_factors("rope_factors_long.weight", spec_.rope_long_factors) && brief;
    if (both) spec_.rope_scaling = RopeScaling::longrope;
  }

  /// False when the file has none.
  bool read_factors(const char* name, std::vector<float>& into) {
    const GgufTensorInfo* factors = file_.header().find(name);
    if (factors == nullptr) return false;
    if (factors->type != GgmlType::F32 || factors->elements() != spec_.rotated_dims() / 2) {
      throw Error(ExitCode::validation,
                  fmt::format("{} must hold {} values of F32", name, spec_.rotated_dims() / 2));
    }
    ModelTensor tensor;  // goes along when the file is quantized again
    tensor.name = name;
    tensor.ne[0] = factors->elements();
    tensors_.insert(tensors_.begin(), tensor);
    into.resize(spec_.rotated_dims() / 2);
    file_.read(*factors, 0, std::as_writable_bytes(std::span(into)));
    return true;
  }

  void map_tensors(const std::filesystem::path& path) {
    const Architecture& architecture = *find_architecture(spec_.architecture);
    for (const TensorRule& rule : architecture.tensor_rules(spec_)) {
      const GgufTensorInfo* info = file_.header().find(rule.gguf_name);
      if (info == nullptr) {
        if (!rule.required) continue;
        throw Error(ExitCode::validation,
                    fmt::format("{}: tensor {} is missing", path.string(), rule.gguf_name));
      }
      check_shape(path, rule, *info);
      ModelTensor tensor;
      tensor.name = rule.gguf_name;
      tensor.source_name = rule.gguf_name;
      tensor.layer = rule.layer;
      tensor.n_dims = info->n_dims;
      tensor.ne = info->ne;
      tensor.stored_type = info->type;
      tensor.permuted_heads = rule.permuted_heads;
      tensors_.push_back(std::move(tensor));
    }
  }

  static void check_shape(const std::filesystem::path& path, const TensorRule& rule,
                          const GgufTensorInfo& info) {
    bool fits = true;
    for (std::size_t d = 0; d < info.ne.size(); ++d) {
      const std::uint64_t wanted = d < rule.shape.size() ? rule.shape[rule.shape.size() - 1 - d] : 1;
      fits = fits && info.ne[d] == wanted;
    }
    if (!fits) {
      throw Error(ExitCode::validation,
                  fmt::format("{}: tensor {} has shape [{}], the metadata asks for [{}]", path.string(),
                              rule.gguf_name, fmt::join(info.ne, ", "),
                              fmt::join(rule.shape.rbegin(), rule.shape.rend(), ", ")));
    }
    if (!can_decode(info.type)) {
      throw Error(ExitCode::unsupported_conversion,
                  fmt::format("{}: tensor {} has type {}, which cannot be read", path.string(),
                              rule.gguf_name, type_name(info.type)));
    }
  }

  void read_run(const ModelTensor& tensor, std::uint64_t row, std::uint64_t count,
                std::span<float> out) const {
    const GgufTensorInfo& info = *file_.header().find(tensor.name);
    const std::uint64_t bytes = row_bytes(info.type, info.row_elems());
    thread_local std::vector<std::byte> raw;
    raw.resize(count * bytes);
    file_.read(info, row * bytes, raw);
    decode_rows(info.type, raw, info.row_elems(), out);
  }

  /// Hugging Face rows [first, ...): whole heads are read in one run and put into order in memory.
  void read_permuted(const ModelTensor& tensor, std::uint64_t first, std::span<float> out) const {
    const std::uint64_t width = tensor.row_elems(), count = out.size() / width;
    const std::uint64_t head_rows = tensor.rows() / tensor.permuted_heads;
    thread_local std::vector<float> head;
    for (std::uint64_t row = first; row < first + count;) {
      const std::uint64_t head_begin = row / head_rows * head_rows;
      const std::uint64_t end = std::min(first + count, head_begin + head_rows);
      head.resize(head_rows * width);
      read_run(tensor, head_begin, head_rows, head);
      for (; row < end; ++row) {
        const std::uint64_t source = hf_row_to_gguf(row - head_begin, head_rows / 2);
        std::copy_n(head.begin() + static_cast<std::ptrdiff_t>(source * width), width,
                    out.begin() + static_cast<std::ptrdiff_t>((row - first) * width));
      }
    }
  }

  /// One row of which each element belongs to a row of the weight.
  void read_permuted_bias(const ModelTensor& tensor, std::span<float> out) const {
    std::vector<float> stored(out.size());
    read_run(tensor, 0, 1, stored);
    const std::uint64_t head = out.size() / tensor.permuted_heads;
    for (std::uint64_t i = 0; i < out.size(); ++i)
      out[i] = stored[i / head * head + hf_row_to_gguf(i % head, head / 2)];
  }

  GgufSet file_;
  ModelSpec spec_;
  std::vector<ModelTensor> tensors_;
};

}  // namespace

std::unique_ptr<ModelSource> open_gguf_source(const std::filesystem::path& file) {
  return std::make_unique<GgufSource>(file);
}

}  // namespace llmq
