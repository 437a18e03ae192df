// Importance matrix in memory, and the files that hold one: our own, HDF5 (docs/formats/imatrix-hdf5.md), and
// llama.cpp's GGUF and legacy .dat. What each holds: docs/formats/imatrix-files.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace llmq {

/// What the loss says of one weight matrix, summed over samples: |g w| (gradient) or g^2 (fisher), g the
/// gradient of one sample's mean next-token loss. Empty vectors: the method does not measure it.
struct Sensitivity {
  std::vector<double> columns;  ///< [n_mat x in_features]: mean over the rows, summed over samples
  std::vector<double> rows;     ///< [n_mat x out_features]: mean over the columns, summed over samples
  std::vector<double> scores;   ///< [n_mat]: mean over all weights, summed over samples
  std::uint64_t samples = 0;

  bool empty() const noexcept { return columns.empty(); }
};

/// Statistics of one matmul weight's input. Vectors hold n_mat x in_features values, expert-major.
/// Only sum_sq and counts are always present; the others are empty for foreign formats.
struct ImatrixEntry {
  std::uint64_t in_features = 0;
  std::uint64_t n_mat = 1;            ///< 1, or the number of experts
  std::vector<double> sum_sq;         ///< sum over tokens of a_j^2
  std::vector<double> sum;            ///< sum of a_j
  std::vector<double> sum_quad;       ///< sum of a_j^4
  std::vector<float> max_abs;         ///< max |a_j|
  std::vector<std::uint64_t> counts;  ///< token rows seen, one per matrix
  Sensitivity sensitivity;

  /// What importance is a mean of: the sensitivities of columns where they were measured, else sum_sq; and
  /// how many samples or token rows are in it.
  const std::vector<double>& importance_sums() const noexcept;
  /// 0: matrix `mat` was not measured, as no token was given to its expert.
  std::uint64_t importance_count(std::uint64_t mat) const;
  /// Importance of the columns of matrix `mat`: the sensitivity a sample where it was measured, else
  /// sum_sq / count; 1 for every column when the count is 0.
  std::vector<float> importance(std::uint64_t mat = 0) const;
};

/// One weight without which the model falls apart (arXiv 2411.07191), found by the spike it causes and proved
/// by leaving it out.
struct SuperWeight {
  std::string tensor;        ///< GGUF name, "blk.1.ffn_down.weight"
  std::uint64_t row = 0;     ///< output channel; of experts counted through: expert x out_features + channel
  std::uint64_t column = 0;  ///< input channel
  double value = 0;
  double max_input = 0;  ///< the largest |input| and |output| of the product, both at this weight's channels
  double max_output = 0;
  double loss_change = 0;    ///< mean next-token loss with the weight zeroed, minus without
  double kl_divergence = 0;  ///< mean KL(original || zeroed) in nats
};

struct SuperWeights {
  bool searched = false;  ///< false: nobody looked; then all below is empty
  double coverage = 0;    ///< fraction of all weights in `covered`
  std::vector<SuperWeight> spikes;
  /// Top weights by w^2 times the column's importance: flat indices row x in_features + column, in GGUF's
  /// order of rows, ascending, by GGUF name.
  std::map<std::string, std::vector<std::uint64_t>> covered;
};

struct Imatrix {
  std::string method = "activation_magnitude";
  std::string dataset_name;  ///< base name, never a path
  std::string dataset_hash;  ///< "sha256:..." of the calibration bytes, empty if unknown
  std::string model_hash;    ///< fingerprint of the weights, empty if unknown
  std::string tokenizer_hash;
  std::uint64_t ctx = 0;  ///< tokens a sample
  std::uint64_t samples = 0;
  std::map<std::string, ImatrixEntry> entries;  ///< by GGUF tensor name, e.g. "blk.0.attn_q.weight"
  SuperWeights super_weights;
  bool counts_are_calls = false;  ///< legacy .dat: counts are calls of unknown length, not token rows

  /// Weights that are covered or a spike, each counted once.
  std::uint64_t count_super_weights() const;

  /// SHA-256 over all content, independent of the file format's bytes; lower-case hex.
  std::string content_hash() const;
};

/// Over the importance of all columns of all entries; mean and deviation are 0 without any.
struct ImportanceSummary {
  double min = 0, max = 0, mean = 0, std = 0;
};
ImportanceSummary summarize_importance(const Imatrix& imatrix);

enum class ImatrixFileFormat { hdf5, gguf, dat };

/// Every format and its name, "hdf5" first.
struct ImatrixFormatName {
  ImatrixFileFormat format;
  std::string_view name;
};
std::span<const ImatrixFormatName> imatrix_formats() noexcept;
std::string_view name_of(ImatrixFileFormat format);

/// Reads any format we know, told by its first bytes. @throws Error(imatrix).
Imatrix read_imatrix(const std::filesystem::path& path);
/// True if the file looks like an imatrix: HDF5, GGUF with general.type "imatrix", or the head of a .dat.
bool looks_like_imatrix(const std::filesystem::path& path) noexcept;

/// Equal content gives equal bytes. Written under a temporary name, synced, renamed.
/// @throws Error(imatrix) for what the format cannot express at all; Error(general) on I/O.
void write_imatrix(const Imatrix& imatrix, const std::filesystem::path& path, ImatrixFileFormat format);
/// What of this matrix such a file does not hold, in words: "super weights". Empty: nothing is lost.
std::vector<std::string> lost_in(const Imatrix& imatrix, ImatrixFileFormat format);

/// formats/hdf5.
void write_imatrix_hdf5(const Imatrix& imatrix, const std::filesystem::path& path);
Imatrix read_imatrix_hdf5(const std::filesystem::path& path);
/// llama.cpp's two formats. Values are rounded to f32.
void write_imatrix_gguf(const Imatrix& imatrix, const std::filesystem::path& path);
Imatrix read_imatrix_gguf(const std::filesystem::path& path);
void write_imatrix_dat(const Imatrix& imatrix, const std::filesystem::path& path);
Imatrix read_imatrix_dat(const std::filesystem::path& path);
bool looks_like_imatrix_dat(const std::filesystem::path& path) noexcept;

/// The entry as the n_mat matrices of in_features columns of a tensor: as it is where it has that shape, cut
/// into experts where it is one row of all of them (legacy .dat). Empty: it does not fit.
std::optional<ImatrixEntry> fit_entry(const ImatrixEntry& entry, std::uint64_t in_features,
                                      std::uint64_t n_mat);

/// Where a matrix says nothing.
struct ImatrixGaps {
  std::map<std::string, std::uint64_t> dead_columns;  ///< by tensor with any: columns that were always 0
  std::vector<std::string> without_tokens;            ///< "blk.0.ffn_up_exps.weight[3]": expert 3

  std::uint64_t count_dead_columns() const noexcept;
  /// A line for each kind that is there, of bounded length.
  std::vector<std::string> lines() const;
};
ImatrixGaps find_gaps(const Imatrix& imatrix);

}  // namespace llmq
