// Profiles: document to profile, to a small model's tensors, and to a document again.
#include <string_view>

#include "llmq/allocate/fit_profile.hpp"

#include "fuzz/fuzz.hpp"

namespace {

const std::vector<llmq::ProfileTensor>& tensors() {
  static const std::vector<llmq::ProfileTensor> list = {
      {"token_embd.weight", -1, 256, 64, true, 32768, 0},
      {"blk.0.attn_norm.weight", 0, 256, 1, false, 512, 1024},
      {"blk.0.attn_q.weight", 0, 256, 256, true, 131072, 0},
      {"blk.0.ffn_down.weight", 0, 96, 256, true, 49152, 0},
      {"blk.1.ffn_up.weight", 1, 100, 4, true, 800, 0}};
  return list;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  return llmq::fuzz::expect_typed_errors([&] {
    const llmq::Profile profile = llmq::parse_profile(text, "fuzz.dqprofile");
    const std::string written = llmq::profile_text(profile);
    if (llmq::profile_text(llmq::parse_profile(written, "again.dqprofile")) != written) std::abort();
    const llmq::ProfileFit fit = llmq::fit_profile(profile, tensors());
    if (fit.tensors.size() != tensors().size()) std::abort();
  });
}
