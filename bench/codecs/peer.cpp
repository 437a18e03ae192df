#include "codecs/peer.hpp"

#include <algorithm>
#include <cctype>
#include <dlfcn.h>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "llmq/core/error.hpp"

namespace llmq::bench {
namespace {

/// What the library's ggml_init takes by value, and what frees the result again.
struct InitParams {
  std::size_t memory_bytes;
  void* memory;
  bool no_alloc;
};

template <typename Function>
Function symbol(void* library, const char* name) {
  void* found = ::dlsym(library, name);
  if (found == nullptr) throw Error(ExitCode::general, fmt::format("the library has no {}", name));
  return reinterpret_cast<Function>(found);
}

bool same_name(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

}  // namespace

Peer::Peer(const std::filesystem::path& library) {
  void* handle = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);  // stays loaded until the process ends
  if (handle == nullptr)
    throw Error(ExitCode::general, fmt::format("cannot load the library: {}", ::dlerror()));
  traits_ = symbol<GetTraits>(handle, "ggml_get_type_traits");
  prepare_ = symbol<Prepare>(handle, "ggml_quantize_init");
  requires_importance_ = symbol<RequiresImportance>(handle, "ggml_quantize_requires_imatrix");
  encode_ = symbol<Encode>(handle, "ggml_quantize_chunk");
  // A context is what fills the library's conversion tables.
  const auto init = symbol<void* (*)(InitParams)>(handle, "ggml_init");
  const auto free = symbol<void (*)(void*)>(handle, "ggml_free");
  free(init({std::size_t{1} << 16, nullptr, true}));
}

bool Peer::knows(GgmlType type) const {
  const Traits* traits = traits_(static_cast<std::uint32_t>(type));
  const BlockType& ours = block_type(type);
  return traits != nullptr && traits->name != nullptr && same_name(traits->name, ours.name) &&
         traits->block_elems == ours.block_elems && traits->block_bytes == ours.block_bytes &&
         traits->to_float != nullptr;
}

bool Peer::requires_importance(GgmlType type) const {
  return requires_importance_(static_cast<std::uint32_t>(type));
}

void Peer::prepare(GgmlType type) const { prepare_(static_cast<std::uint32_t>(type)); }

void Peer::encode(GgmlType type, std::span<const float> weights, std::uint64_t row_elems,
                  std::span<const float> importance, std::span<std::byte> out) const {
  const std::size_t written =
      encode_(static_cast<std::uint32_t>(type), weights.data(), out.data(), 0,
              static_cast<std::int64_t>(weights.size() / row_elems), static_cast<std::int64_t>(row_elems),
              importance.empty() ? nullptr : importance.data());
  if (written != out.size()) throw Error(ExitCode::general, "the library wrote another number of bytes");
}

void Peer::decode(GgmlType type, std::span<const std::byte> bytes, std::span<float> out) const {
  traits_(static_cast<std::uint32_t>(type))
      ->to_float(bytes.data(), out.data(), static_cast<std::int64_t>(out.size()));
}

}  // namespace llmq::bench
