#include "pipeline/protection_report.hpp"

#include <algorithm>
#include <cstddef>

#include "llmq/core/file.hpp"
#include "llmq/core/parallel.hpp"
#include "llmq/quant/codec.hpp"
#include "llmq/quant/protected.hpp"

#include "pipeline/protected_rows.hpp"

namespace llmq {
namespace {

/// The protected weights of a piece, from the source's rows and the file's blocks.
void measure_piece(const ModelSource& source, const PlannedTensor& tensor, const File& file,
                   const ProtectedPiece& piece, std::vector<MeasuredWeight>& measured) {
  const std::uint64_t elems = tensor.source->row_elems(), bytes = row_bytes(tensor.type, elems);
  std::vector<float> weights(piece.rows * elems), decoded(elems);
  std::vector<std::byte> encoded(piece.rows * bytes);
  source.read_rows(*tensor.source, piece.row, piece.rows, RowOrder::gguf, weights);
  file.read_at(encoded, tensor.offset_bytes + piece.row * bytes);
  for_each_protected_row(
      piece.weights, elems, [&](std::uint64_t row, std::span<const std::uint64_t> columns) {
        const std::uint64_t at = row - piece.row;
        decode_rows(tensor.type, std::span<const std::byte>(encoded).subspan(at * bytes, bytes), elems,
                    decoded);
        for (const std::uint64_t column : columns) {
          measured.push_back({static_cast<std::uint32_t>(piece.tensor), row * elems + column,
                              weights[at * elems + column], decoded[column]});
        }
      });
}

}  // namespace

std::vector<MeasuredWeight> measure_protected(const StageContext& context, const ModelSource& source,
                                              const QuantizePlan& plan,
                                              const std::vector<std::filesystem::path>& files, int readers) {
  std::vector<ProtectedPiece> mine;
  std::size_t number = 0;
  for (std::size_t t = 0; t < plan.tensors.size(); ++t) {
    const PlannedTensor& tensor = plan.tensors[t];
    for (const ProtectedPiece& piece : protected_pieces(*tensor.source, t, tensor.protected_weights)) {
      if (number++ % static_cast<std::size_t>(readers) == static_cast<std::size_t>(context.comm.rank()))
        mine.push_back(piece);
    }
  }
  std::vector<std::vector<MeasuredWeight>> found(context.threads);
  context.comm.together("measure protected weights", [&] {
    if (mine.empty()) return;
    std::vector<File> opened;
    for (const std::filesystem::path& file : files) opened.emplace_back(file, File::Mode::read);
    parallel_for(mine.size(), context.threads, [&](std::size_t i, std::size_t worker) {
      const PlannedTensor& tensor = plan.tensors[mine[i].tensor];
      measure_piece(source, tensor, opened[tensor.file], mine[i], found[worker]);
    });
  });
  for (std::size_t worker = 1; worker < found.size(); ++worker)
    found[0].insert(found[0].end(), found[worker].begin(), found[worker].end());
  std::vector<MeasuredWeight> all;
  for (const auto& part :
       context.comm.gather(std::span<const MeasuredWeight>(found[0]), "collect protected weights"))
    all.insert(all.end(), part.begin(), part.end());
  std::sort(all.begin(), all.end(), [](const MeasuredWeight& a, const MeasuredWeight& b) {
    return a.tensor != b.tensor ? a.tensor < b.tensor : a.index < b.index;
  });
  return all;
}

SuperWeightProtection describe_protection(const QuantizePlan& plan, const Protection& protection) {
  SuperWeightProtection described;
  described.coverage = protection.coverage;
  described.spikes = protection.spikes;
  described.protected_weights = protection.count();
  for (const PlannedTensor& tensor : plan.tensors) {
    if (tensor.protected_weights.empty()) continue;
    const GgmlType wanted = tensor.raised_from.value_or(tensor.type);
    ProtectedTensor& one = described.tensors.emplace_back();
    one.name = tensor.source->name;
    one.protected_weights = tensor.protected_weights.size();
    one.raised = tensor.raised_from.has_value();
    one.type = type_name(tensor.type);
    one.wanted_type = type_name(wanted);
    one.cost_bytes = tensor.size_bytes - tensor.source->bytes_as(wanted);
    described.cost_bytes += one.cost_bytes;
    (one.raised ? described.by_higher_type : described.by_search) += one.protected_weights;
  }
  return described;
}

void add_errors(const QuantizePlan& plan, const std::vector<MeasuredWeight>& measured,
                SuperWeightProtection& described) {
  std::vector<double> largest(plan.tensors.size(), 0);
  for (const MeasuredWeight& one : measured)
    largest[one.tensor] = std::max(largest[one.tensor], relative_error(one.weight, one.decoded));
  auto tensor = described.tensors.begin();
  for (std::size_t t = 0; t < plan.tensors.size(); ++t) {
    if (plan.tensors[t].protected_weights.empty()) continue;
    tensor->largest_relative_error = largest[t];
    described.largest_relative_error = std::max(described.largest_relative_error, largest[t]);
    ++tensor;
  }
}

}  // namespace llmq
