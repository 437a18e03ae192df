// Plants super weights in a BF16 checkpoint of one file, in place: plant_model DIRECTORY (LAYER ROW COLUMN
// VALUE GAIN)... sets down_proj[ROW, COLUMN] to VALUE and multiplies row COLUMN of up_proj by GAIN, which
// makes the weight's input large.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <fmt/format.h>

#include "llmq/core/file.hpp"
#include "llmq/core/half.hpp"
#include "llmq/formats/safetensors.hpp"

namespace {

struct Place {
  llmq::SafetensorsTensor tensor;
  std::uint64_t offset(std::uint64_t row, std::uint64_t column) const {
    return tensor.offset_bytes + 2 * (row * tensor.shape[1] + column);
  }
};

Place find(const std::string& directory, std::uint64_t layer, const char* name) {
  const llmq::SafetensorsCheckpoint checkpoint(directory);
  return {*checkpoint.find(fmt::format("model.layers.{}.mlp.{}.weight", layer, name))};
}

void write(const llmq::File& file, std::uint64_t offset, float value) {
  const std::uint16_t bits = llmq::f32_to_bf16(value);
  file.write_at(std::as_bytes(std::span(&bits, 1)), offset);
}

float read(const llmq::File& file, std::uint64_t offset) {
  std::uint16_t bits = 0;
  file.read_at(std::as_writable_bytes(std::span(&bits, 1)), offset);
  return llmq::bf16_to_f32(bits);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 7 || (argc - 2) % 5 != 0) return 2;
  const std::string directory = argv[1];
  const llmq::File file(directory + "/model.safetensors", llmq::File::Mode::read_write);
  for (int i = 2; i < argc; i += 5) {
    const std::uint64_t layer = std::strtoull(argv[i], nullptr, 10),
                        row = std::strtoull(argv[i + 1], nullptr, 10),
                        column = std::strtoull(argv[i + 2], nullptr, 10);
    const float value = std::strtof(argv[i + 3], nullptr), gain = std::strtof(argv[i + 4], nullptr);
    write(file, find(directory, layer, "down_proj").offset(row, column), value);
    const Place up = find(directory, layer, "up_proj");
    for (std::uint64_t j = 0; j < up.tensor.shape[1]; ++j)
      write(file, up.offset(column, j), gain * read(file, up.offset(column, j)));
  }
  return 0;
}
