// A Hugging Face directory as a ModelSource.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include <fmt/format.h>

#include "llmq/core/checked.hpp"
#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/core/hash.hpp"
#include "llmq/formats/compressed_tensors.hpp"
#include "llmq/formats/safetensors.hpp"

#include "model/architectures/architecture.hpp"
#include "model/row_permutation.hpp"
#include "model/sources.hpp"
#include "model/stored_codes.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxUnknownNamesShown = 5;

/// Where a checkpoint keeps the same weight of all experts in one tensor: rows of expert e begin at
/// e * step + first.
struct StackedExperts {
  const SafetensorsTensor* stored = nullptr;
  std::uint64_t first = 0, step = 0;  ///< in elements
};

/// Buffers that older exporters stored and no converter carries over.
bool is_dropped(std::string_view name) {
  return name.ends_with(".rotary_emb.inv_freq") || name.ends_with(".attention.masked_bias") ||
         name.ends_with(".attention.bias");
}

class HfSource final : public ModelSource {
 public:
  explicit HfSource(const fs::path& directory)
      : directory_(directory), spec_(read_model_spec(directory)), checkpoint_(directory) {
    map_tensors();
    if (spec_.torch_dtype.empty())
      spec_.torch_dtype = torch_dtype_name(plain_dtype(tensors_.front().stored_type).value_or(DType::BF16));
  }

  const ModelSpec& spec() const noexcept override { return spec_; }
  const std::vector<ModelTensor>& tensors() const noexcept override { return tensors_; }
  bool is_gguf() const noexcept override { return false; }

  void read_rows(const ModelTensor& tensor, std::uint64_t row, std::uint64_t count, RowOrder order,
                 std::span<float> out) const override {
    if (out.size() != count * tensor.row_elems() || row + count > tensor.rows()) {
      throw InternalError("read_rows: range does not fit the tensor");
    }
    if (tensor.source_name.empty()) {
      const std::vector<float>& values = generated_.at(tensor.name);
      std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(row), out.size(), out.begin());
      return;
    }
    const bool permute = tensor.permuted_heads > 0 && order == RowOrder::gguf;
    if (!permute) {
      read_run(tensor, row * tensor.row_elems(), out);
      if (tensor.offset != 0) {
        for (float& value : out) value += tensor.offset;
      }
      return;
    }
    // Biases are rows of one element each: their permuted dimension is ne[0].
    const std::uint64_t unit = tensor.n_dims == 1 ? 1 : tensor.row_elems();
    const std::uint64_t total = tensor.elements() / unit;
    const std::uint64_t first = row * tensor.row_elems() / unit;
    const std::uint64_t half = total / tensor.permuted_heads / 2;
    read_permuted(tensor, first, out, unit, half);
  }

  void will_need(const ModelTensor& tensor) const noexcept override {
    if (const auto stacked = stacked_.find(tensor.name); stacked != stacked_.end()) {
      const SafetensorsTensor& stored = *stacked->second.stored;
      return checkpoint_.shards()[stored.shard].will_need(stored.offset_bytes, stored.size_bytes);
    }
    for (std::uint64_t expert = 0; expert < tensor.ne[2]; ++expert) {
      const SafetensorsTensor* stored = checkpoint_.find(name_of_expert(tensor.source_name, expert));
      if (stored != nullptr)
        checkpoint_.shards()[stored->shard].will_need(stored->offset_bytes, stored->size_bytes);
    }
  }

  bool has_codes(const ModelTensor& tensor) const override { return codes_.contains(tensor.source_name); }
  void read_codes(const ModelTensor& tensor, std::uint64_t row, std::span<std::int8_t> codes,
                  std::span<float> scales) const override {
    const SafetensorsTensor& stored = *checkpoint_.find(tensor.source_name);
    checkpoint_.read(stored, row * tensor.row_elems(), std::as_writable_bytes(codes));
    const std::span<const float> rows = codes_.scales(tensor.source_name).subspan(row, scales.size());
    std::copy(rows.begin(), rows.end(), scales.begin());
  }
  float input_scale(const ModelTensor& tensor) const override {
    return codes_.input_scale(tensor.source_name);
  }

  Vocabulary vocabulary() const override { return read_vocabulary(directory_, spec_.vocab_size); }

  std::string fingerprint() const override {
    return Sha256()
        .field(read_file(directory_ / "config.json", std::uint64_t{16} << 20, 3))
        .field(checkpoint_.fingerprint())
        .hex();
  }

 private:
  void map_tensors() {
    const Architecture& architecture = *find_architecture(spec_.architecture);
    std::set<std::string_view> used;
    const bool coded =
        is_compressed_tensors(read_file(directory_ / "config.json", std::uint64_t{16} << 20, 3));
    for (const TensorRule& rule : architecture.tensor_rules(spec_)) {
      const SafetensorsTensor* stored = checkpoint_.find(name_of_expert(rule.hf_name, 0));
      if (stored == nullptr && rule.experts > 0 && add_stacked(rule, used)) continue;
      if (stored == nullptr) {
        if (!rule.required) continue;
        throw Error(ExitCode::validation,
                    fmt::format("{}: tensor {} is missing", directory_.string(), rule.hf_name),
                    "The checkpoint is incomplete; fetch it again");
      }
      if (coded && stored->dtype == DType::I8 && rule.layer >= 0) codes_.add(checkpoint_, *stored, used);
      if (rule.experts > 0) check_experts(rule, *stored, used);
      add_tensor(rule, *stored);
      used.insert(stored->name);
    }
    report_unknown(used);
    spec_.tied_embeddings = find("output.weight") == nullptr;
    generate("rope_freqs.weight", spec_.rope_freq_factors());
    generate("rope_factors_short.weight", spec_.rope_short_factors);
    generate("rope_factors_long.weight", spec_.rope_long_factors);
  }

  /// A tensor that stands in front of the others, from numbers of the configuration; none without any.
  void generate(const char* name, const std::vector<float>& values) {
    if (values.empty()) return;
    ModelTensor tensor;
    tensor.name = name;
    tensor.ne[0] = values.size();
    tensors_.insert(tensors_.begin(), tensor);
    generated_[name] = values;
  }

  /// The experts behind the first are there and like it.
  void check_experts(const TensorRule& rule, const SafetensorsTensor& first,
                     std::set<std::string_view>& used) {
    for (std::uint32_t expert = 1; expert < rule.experts; ++expert) {
      const std::string name = name_of_expert(rule.hf_name, expert);
      const SafetensorsTensor* stored = checkpoint_.find(name);
      if (stored == nullptr) {
        throw Error(ExitCode::validation, fmt::format("{}: tensor {} is missing", directory_.string(), name),
                    "The checkpoint is incomplete; fetch it again");
      }
      if (stored->shape != first.shape || stored->dtype != first.dtype) {
        throw Error(ExitCode::validation,
                    fmt::format("{}: tensor {} is not like that of expert 0", directory_.string(), name),
                    "The checkpoint is damaged; fetch it again");
      }
      used.insert(stored->name);
    }
  }

  /// Experts in one tensor instead of "model.layers.0.mlp.experts.{}.up_proj.weight" and the like:
  /// experts.down_proj [experts, hidden, ffn], and experts.gate_up_proj [experts, 2 ffn, hidden], the gates
  /// of an expert first. False if the checkpoint has none.
  bool add_stacked(const TensorRule& rule, std::set<std::string_view>& used) {
    const bool pair = !rule.gguf_name.ends_with("ffn_down_exps.weight");
    const std::string experts = rule.hf_name.substr(0, rule.hf_name.find("{}"));
    const SafetensorsTensor* stored = checkpoint_.find(experts + (pair ? "gate_up_proj" : "down_proj"));
    if (stored == nullptr) return false;
    const std::uint64_t matrix = rule.shape[1] * rule.shape[2];
    std::vector<std::uint64_t> wanted = rule.shape;
    if (pair) wanted[1] *= 2;
    require_shape(stored->name, stored->shape, wanted);
    const bool second = rule.gguf_name.ends_with("ffn_up_exps.weight");
    stacked_[rule.gguf_name] = {stored, second ? matrix : 0, pair ? 2 * matrix : matrix};
    add_checked_tensor(rule, *stored);
    used.insert(stored->name);
    return true;
  }

  void require_shape(const std::string& name, const std::vector<std::uint64_t>& shape,
                     const std::vector<std::uint64_t>& wanted) const {
    if (shape == wanted) return;
    throw Error(ExitCode::validation,
                fmt::format("{}: tensor {} has shape [{}], config.json asks for [{}]", directory_.string(),
                            name, fmt::join(shape, ", "), fmt::join(wanted, ", ")),
                "config.json and the weights are not of one model; fetch both again");
  }

  void add_tensor(const TensorRule& rule, const SafetensorsTensor& stored) {
    std::vector<std::uint64_t> shape = stored.shape;
    if (rule.experts > 0) shape.insert(shape.begin(), rule.experts);
    require_shape(rule.hf_name, shape, rule.shape);
    add_checked_tensor(rule, stored);
  }

  void add_checked_tensor(const TensorRule& rule, const SafetensorsTensor& stored) {
    if (!is_weight_dtype(stored.dtype) && !codes_.contains(stored.name)) {
      throw Error(ExitCode::unsupported_conversion,
                  fmt::format("{}: tensor {} is stored as {}", directory_.string(), rule.hf_name,
                              dtype_name(stored.dtype)),
                  "Supported number formats: F32, F16, BF16");
    }
    ModelTensor tensor;
    tensor.name = rule.gguf_name;
    tensor.source_name = rule.hf_name;
    tensor.layer = rule.layer;
    tensor.n_dims = static_cast<std::uint32_t>(rule.shape.size());
    for (std::size_t d = 0; d < rule.shape.size(); ++d) tensor.ne[d] = rule.shape[rule.shape.size() - 1 - d];
    tensor.stored_type = block_type_of(stored.dtype);
    tensor.permuted_heads = rule.permuted_heads;
    tensor.offset = rule.offset;
    tensors_.push_back(std::move(tensor));
  }

  void report_unknown(const std::set<std::string_view>& used) const {
    std::vector<std::string> unknown;
    for (const SafetensorsTensor& stored : checkpoint_.tensors()) {
      if (!used.contains(stored.name) && !is_dropped(stored.name)) unknown.push_back(stored.name);
    }
    if (unknown.empty()) return;
    const std::size_t shown = std::min(unknown.size(), kMaxUnknownNamesShown);
    const std::vector<std::string> head(unknown.begin(),
                                        unknown.begin() + static_cast<std::ptrdiff_t>(shown));
    throw Error(ExitCode::unsupported_conversion,
                fmt::format("{}: {} tensors have no place in architecture {}: {}{}", directory_.string(),
                            unknown.size(), spec_.class_name, fmt::join(head, ", "),
                            unknown.size() > shown ? ", ..." : ""),
                "The checkpoint may be of another architecture than config.json says");
  }

  /// A run may go over several experts.
  void read_run(const ModelTensor& tensor, std::uint64_t first_elem, std::span<float> out) const {
    const std::uint64_t matrix = tensor.ne[0] * tensor.ne[1];
    if (tensor.ne[2] == 1) return read_stored(*checkpoint_.find(tensor.source_name), first_elem, out);
    const auto stacked = stacked_.find(tensor.name);
    while (!out.empty()) {
      const std::uint64_t expert = first_elem / matrix, at = first_elem % matrix;
      const auto part = out.first(std::min<std::uint64_t>(out.size(), matrix - at));
      if (stacked != stacked_.end()) {
        const StackedExperts& all = stacked->second;
        read_stored(*all.stored, expert * all.step + all.first + at, part);
      } else {
        read_stored(*checkpoint_.find(name_of_expert(tensor.source_name, expert)), at, part);
      }
      first_elem += part.size();
      out = out.subspan(part.size());
    }
  }

  void read_stored(const SafetensorsTensor& stored, std::uint64_t first_elem, std::span<float> out) const {
    const std::size_t width = dtype_bytes(stored.dtype);
    if (codes_.contains(stored.name)) return codes_.decode(checkpoint_, stored, first_elem, out);
    if (stored.dtype == DType::F32) {
      checkpoint_.read(stored, first_elem * width, std::as_writable_bytes(out));
      return;
    }
    // Pieces that stay in L2 between reading and widening.
    constexpr std::size_t kPieceElems = std::size_t{64} << 10;
    thread_local std::vector<std::byte> raw;
    raw.resize(std::min(out.size(), kPieceElems) * width);
    for (std::size_t done = 0; done < out.size(); done += kPieceElems) {
      const std::size_t count = std::min(kPieceElems, out.size() - done);
      const std::span<std::byte> piece(raw.data(), count * width);
      checkpoint_.read(stored, (first_elem + done) * width, piece);
      widen_to_f32(stored.dtype, piece, out.subspan(done, count));
    }
  }

  /// GGUF rows [first, ...) of a permuted tensor. Whole heads are read in one run and spread in memory.
  void read_permuted(const ModelTensor& tensor, std::uint64_t first, std::span<float> out, std::uint64_t unit,
                     std::uint64_t half) const {
    const std::uint64_t head_rows = 2 * half;
    const std::uint64_t count = out.size() / unit;
    thread_local std::vector<float> head;
    for (std::uint64_t row = first; row < first + count;) {
      const std::uint64_t head_begin = row / head_rows * head_rows;
      const std::uint64_t end = std::min(first + count, head_begin + head_rows);
      head.resize(head_rows * unit);
      read_run(tensor, head_begin * unit, head);
      for (; row < end; ++row) {
        const std::uint64_t source = gguf_row_to_hf(row - head_begin, half);
        std::copy_n(head.begin() + static_cast<std::ptrdiff_t>(source * unit), unit,
                    out.begin() + static_cast<std::ptrdiff_t>((row - first) * unit));
      }
    }
  }

  fs::path directory_;
  ModelSpec spec_;
  SafetensorsCheckpoint checkpoint_;
  StoredCodes codes_;  ///< of a W8A8 directory
  std::vector<ModelTensor> tensors_;
  std::map<std::string, StackedExperts> stacked_;        ///< by GGUF name
  std::map<std::string, std::vector<float>> generated_;  ///< by name
};

}  // namespace

std::unique_ptr<ModelSource> open_hf_source(const fs::path& directory) {
  return std::make_unique<HfSource>(directory);
}

}  // namespace llmq
