#include "report/tensor_place.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <tuple>

namespace llmq {
namespace {

constexpr std::array<std::string_view, 11> kRoles = {
    "attn_q", "attn_k",   "attn_v",        "attn_output", "ffn_gate_inp", "ffn_gate",
    "ffn_up", "ffn_down", "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"};

}  // namespace

TensorPlace place_of(std::string_view name) {
  constexpr std::string_view block = "blk.", weight = ".weight";
  TensorPlace place;
  std::string_view rest = name;
  if (rest.ends_with(weight)) rest.remove_suffix(weight.size());
  if (rest.starts_with(block)) {
    std::uint32_t layer = 0;
    const char* const first = rest.data() + block.size();
    const char* const last = rest.data() + rest.size();
    const auto [end, error] = std::from_chars(first, last, layer);
    if (error == std::errc() && end + 1 < last && *end == '.') {
      place.layer = layer;
      rest = std::string_view(end + 1, static_cast<std::size_t>(last - end - 1));
    }
  }
  place.role = rest;
  return place;
}

std::size_t order_of_role(std::string_view role) {
  return static_cast<std::size_t>(std::find(kRoles.begin(), kRoles.end(), role) - kRoles.begin());
}

std::vector<std::string> in_order(std::vector<std::string> roles) {
  std::sort(roles.begin(), roles.end(), [](const std::string& a, const std::string& b) {
    return std::tuple(order_of_role(a), std::string_view(a)) <
           std::tuple(order_of_role(b), std::string_view(b));
  });
  roles.erase(std::unique(roles.begin(), roles.end()), roles.end());
  return roles;
}

}  // namespace llmq
