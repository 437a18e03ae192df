// Plants super weights in a BF16 checkpoint of one file, in place:
//   plant_model DIRECTORY spike LAYER ROW COLUMN VALUE GAIN
// sets down_proj[ROW, COLUMN] to VALUE and multiplies row COLUMN of up_proj by GAIN, which makes the weight's
// input large: another model, in which one weight makes a spike. LAYER may be one expert's: 2.experts.5.
//   plant_model DIRECTORY balance LAYER ROW COLUMN VALUE [COLUMN VALUE]... COLUMN
// makes all columns but the first copies of the first one's channel and shares out down_proj[ROW, first]
// among them: the given values, the last column takes the rest. The copied channels' own part of the model is
// lost, else nothing changes.
//   plant_model DIRECTORY pair LAYER ROW FIRST SECOND VALUE GAIN
// makes column SECOND the channel of FIRST, GAIN times as large; down_proj[ROW, FIRST] becomes VALUE, and
// [ROW, SECOND] takes back what that is too much: two large weights that nearly cancel.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "llmq/core/file.hpp"
#include "llmq/core/half.hpp"
#include "llmq/formats/safetensors.hpp"

namespace {

/// One matrix of a layer's feed-forward part, read and written by element.
class Matrix {
 public:
  /// @param layer  its number; "2.experts.5" for one of its experts
  Matrix(const std::string& directory, const std::string& layer, const char* name)
      : file_(directory + "/model.safetensors", llmq::File::Mode::read_write) {
    const std::size_t dot = std::min(layer.find('.'), layer.size());
    const llmq::SafetensorsCheckpoint checkpoint(directory);
    tensor_ = *checkpoint.find(
        fmt::format("model.layers.{}.mlp{}.{}.weight", layer.substr(0, dot), layer.substr(dot), name));
  }
  std::uint64_t rows() const { return tensor_.shape[0]; }
  std::uint64_t columns() const { return tensor_.shape[1]; }
  float get(std::uint64_t row, std::uint64_t column) const {
    std::uint16_t bits = 0;
    file_.read_at(std::as_writable_bytes(std::span(&bits, 1)), place(row, column));
    return llmq::bf16_to_f32(bits);
  }
  void set(std::uint64_t row, std::uint64_t column, float value) const {
    const std::uint16_t bits = llmq::f32_to_bf16(value);
    file_.write_at(std::as_bytes(std::span(&bits, 1)), place(row, column));
  }

 private:
  std::uint64_t place(std::uint64_t row, std::uint64_t column) const {
    return tensor_.offset_bytes + 2 * (row * columns() + column);
  }
  llmq::File file_;
  llmq::SafetensorsTensor tensor_;
};

std::uint64_t number(const char* text) { return std::strtoull(text, nullptr, 10); }

void spike(const std::string& directory, char** args) {
  const std::string layer = args[0];
  const std::uint64_t row = number(args[1]), column = number(args[2]);
  const float gain = std::strtof(args[4], nullptr);
  Matrix(directory, layer, "down_proj").set(row, column, std::strtof(args[3], nullptr));
  const Matrix up(directory, layer, "up_proj");
  for (std::uint64_t j = 0; j < up.columns(); ++j) up.set(column, j, gain * up.get(column, j));
}

void balance(const std::string& directory, const std::vector<char*>& args) {
  const std::string layer = args[0];
  const std::uint64_t row = number(args[1]), first = number(args[2]);
  const Matrix gate(directory, layer, "gate_proj"), up(directory, layer, "up_proj"),
      down(directory, layer, "down_proj");
  float rest = down.get(row, first);
  for (std::size_t i = 2; i < args.size(); i += 2) {
    const std::uint64_t column = number(args[i]);
    for (std::uint64_t j = 0; column != first && j < up.columns(); ++j) {
      gate.set(column, j, gate.get(first, j));
      up.set(column, j, up.get(first, j));
    }
    for (std::uint64_t r = 0; column != first && r < down.rows(); ++r) down.set(r, column, 0);
    down.set(row, column, i + 1 < args.size() ? std::strtof(args[i + 1], nullptr) : rest);
    rest -= down.get(row, column);
  }
}

void pair(const std::string& directory, char** args) {
  const std::string layer = args[0];
  const std::uint64_t row = number(args[1]), first = number(args[2]), second = number(args[3]);
  const float value = std::strtof(args[4], nullptr), gain = std::strtof(args[5], nullptr);
  const Matrix gate(directory, layer, "gate_proj"), up(directory, layer, "up_proj"),
      down(directory, layer, "down_proj");
  for (std::uint64_t j = 0; j < up.columns(); ++j) {
    gate.set(second, j, gate.get(first, j));
    up.set(second, j, gain * up.get(first, j));
  }
  for (std::uint64_t r = 0; r < down.rows(); ++r) down.set(r, second, 0);
  const float was = down.get(row, first);
  down.set(row, first, value);
  down.set(row, second, (was - value) / gain);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc > 2 ? argv[2] : "";
  if (mode == "spike" && argc == 8) {
    spike(argv[1], argv + 3);
  } else if (mode == "balance" && argc >= 8 && argc % 2 == 0) {
    balance(argv[1], {argv + 3, argv + argc});
  } else if (mode == "pair" && argc == 9) {
    pair(argv[1], argv + 3);
  } else {
    return 2;
  }
  return 0;
}
