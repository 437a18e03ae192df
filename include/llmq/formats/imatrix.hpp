// Importance matrix in memory, and the files that hold one. Our own format is HDF5
// (docs/formats/imatrix-hdf5.md); llama.cpp's GGUF and legacy .dat are read too. SPDX-License-Identifier:
// Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
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

  /// Importance of the columns of matrix `mat`: the sensitivity a sample where it was measured, else
  /// sum_sq / count; 1 for every column when the count is 0.
  std::vector<float> importance(std::uint64_t mat = 0) const;
};

/// One weight without which the model falls apart (arXiv 2411.07191), found by the spike it causes and proved
/// by leaving it out.
struct SuperWeight {
  std::string tensor;        ///< GGUF name, "blk.1.ffn_down.weight"
  std::uint64_t row = 0;     ///< output channel
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

  /// Weights that are covered or a spike, each counted once.
  std::uint64_t count_super_weights() const;

  /// SHA-256 over all content, independent of the file format's bytes; lower-case hex.
  std::string content_hash() const;
};

/// Reads any format we know, told by its first bytes. @throws Error(imatrix).
Imatrix read_imatrix(const std::filesystem::path& path);
/// True if the file looks like an imatrix (HDF5 with our schema, or GGUF with general.type "imatrix").
bool looks_like_imatrix(const std::filesystem::path& path) noexcept;

/// formats/hdf5: equal content gives equal bytes. Written under a temporary name, synced, renamed.
void write_imatrix_hdf5(const Imatrix& imatrix, const std::filesystem::path& path);
Imatrix read_imatrix_hdf5(const std::filesystem::path& path);
/// llama.cpp's two formats.
Imatrix read_imatrix_gguf(const std::filesystem::path& path);
Imatrix read_imatrix_dat(const std::filesystem::path& path);

}  // namespace llmq
