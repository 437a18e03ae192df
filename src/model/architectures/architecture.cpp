#include "model/architectures/architecture.hpp"

#include <array>

namespace llmq {

std::span<const Architecture> architectures() noexcept {
  static const std::array kTable = {kLlamaArchitecture,    kQwen2Architecture,    kQwen3Architecture,
                                    kQwen2MoeArchitecture, kQwen3MoeArchitecture, kGemma2Architecture,
                                    kGemma3Architecture,   kOlmo2Architecture,    kPhi3Architecture,
                                    kStableLmArchitecture, kSmolLm3Architecture};
  return kTable;
}

const Architecture* find_architecture(std::string_view gguf_name) noexcept {
  for (const Architecture& row : architectures()) {
    if (row.name == gguf_name) return &row;
  }
  return nullptr;
}

const Architecture* find_architecture_of_class(std::string_view class_name) noexcept {
  for (const Architecture& row : architectures()) {
    for (const std::string_view candidate : row.class_names) {
      if (candidate == class_name) return &row;
    }
  }
  return nullptr;
}

}  // namespace llmq
