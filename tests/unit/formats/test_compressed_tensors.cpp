// W8A8 directories: ours pass the check, and each thing that would keep an engine from loading them is named.
#include <algorithm>
#include <functional>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/formats/compressed_tensors.hpp"
#include "llmq/formats/safetensors_layout.hpp"

#include "support/scratch.hpp"

namespace {
using namespace llmq;
using nlohmann::ordered_json;
using testing_support::ScratchDirectory;

std::vector<SafetensorsEntry> sound_entries(bool fixed) {
  std::vector<SafetensorsEntry> entries = {{"model.embed_tokens.weight", DType::BF16, {16, 8}},
                                           {"model.norm.weight", DType::BF16, {8}},
                                           {"lm_head.weight", DType::BF16, {16, 8}}};
  for (const char* module : {"model.layers.0.self_attn.q_proj", "model.layers.0.mlp.up_proj"}) {
    entries.push_back({std::string(module) + ".weight", DType::I8, {24, 8}});
    entries.push_back({std::string(module) + ".weight_scale", DType::F32, {24, 1}});
    if (fixed) entries.push_back({std::string(module) + ".input_scale", DType::F32, {1}});
  }
  return entries;
}

using Entries = std::vector<SafetensorsEntry>;

/// Problems of a directory with these tensors.
std::vector<std::string> problems_of(const Entries& entries, const ordered_json& config) {
  const ScratchDirectory scratch;
  write_file_atomically(scratch / "config.json", config.dump());
  const SafetensorsLayout layout = plan_safetensors(entries, std::uint64_t{1} << 40);
  std::string bytes = layout.shards[0].head;
  bytes.resize(layout.shards[0].file_bytes);
  write_file_atomically(scratch / "model.safetensors", bytes);
  return check_w8a8_directory(scratch.path());
}

ordered_json sound_config(bool fixed) {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"tie_word_embeddings", false},
          {"quantization_config",
           w8a8_config(fixed ? ActivationScales::fixed : ActivationScales::dynamic, {"lm_head"})}};
}

TEST(CompressedTensors, what_we_write_is_sound) {
  for (const bool fixed : {false, true})
    EXPECT_EQ(problems_of(sound_entries(fixed), sound_config(fixed)), std::vector<std::string>{});
  EXPECT_TRUE(is_compressed_tensors(sound_config(false).dump()));
  EXPECT_FALSE(is_compressed_tensors("{\"quantization_config\": {\"quant_method\": \"gptq\"}}"));
  EXPECT_FALSE(is_compressed_tensors("{"));
}

TEST(CompressedTensors, every_wrong_tensor_is_named) {
  const auto problem = [](bool fixed, const std::function<void(Entries&)>& damage) {
    Entries entries = sound_entries(fixed);
    damage(entries);
    const auto problems = problems_of(entries, sound_config(fixed));
    return problems.size() == 1 ? problems[0] : std::to_string(problems.size()) + " problems";
  };
  const auto by_name = [](Entries& entries, const std::string& name) -> SafetensorsEntry& {
    return *std::find_if(entries.begin(), entries.end(),
                         [&](const auto& one) { return one.name.ends_with(name); });
  };
  EXPECT_EQ(problem(false, [&](Entries& e) { by_name(e, "q_proj.weight").dtype = DType::BF16; })
                .find("model.layers.0.self_attn.q_proj.weight_scale scales"),
            std::string::npos);
  EXPECT_EQ(problem(false, [&](Entries& e) { by_name(e, "q_proj.weight_scale").shape = {24}; }),
            "model.layers.0.self_attn.q_proj.weight_scale has the shape [24], not [24, 1]");
  EXPECT_EQ(problem(false, [&](Entries& e) { by_name(e, "q_proj.weight_scale").dtype = DType::I32; }),
            "model.layers.0.self_attn.q_proj.weight_scale is I32, not F32 or BF16");
  EXPECT_EQ(problem(false,
                    [&](Entries& e) {
                      std::erase_if(e, [](auto& one) { return one.name.ends_with("up_proj.weight_scale"); });
                    }),
            "model.layers.0.mlp.up_proj.weight_scale is missing");
  EXPECT_EQ(problem(true,
                    [&](Entries& e) {
                      std::erase_if(e, [](auto& one) { return one.name.ends_with("up_proj.input_scale"); });
                    }),
            "model.layers.0.mlp.up_proj.input_scale is missing");
  EXPECT_EQ(problem(false,
                    [&](Entries& e) {
                      e.push_back({"model.layers.0.mlp.up_proj.input_scale", DType::F32, {1}});
                    }),
            "model.layers.0.mlp.up_proj.input_scale is stored although scales are dynamic");
  EXPECT_EQ(problem(false, [&](Entries& e) { by_name(e, "lm_head.weight").dtype = DType::I8; }),
            "lm_head.weight is I8");
  EXPECT_EQ(
      problem(false,
              [&](Entries& e) { std::erase_if(e, [](auto& one) { return one.name == "lm_head.weight"; }); }),
      "lm_head.weight is missing");
  EXPECT_EQ(problem(false,
                    [&](Entries& e) {
                      e.push_back({"stray.weight_scale", DType::F32, {1, 1}});
                    }),
            "stray.weight_scale scales no I8 weight");
}

TEST(CompressedTensors, tied_embeddings_are_stored_once) {
  ordered_json config = sound_config(false);
  config["tie_word_embeddings"] = true;
  EXPECT_EQ(problems_of(sound_entries(false), config),
            std::vector<std::string>{"lm_head.weight is stored although it is tied to the embedding"});
}

TEST(CompressedTensors, a_wrong_configuration_is_told_by_its_place) {
  const auto problem = [](const std::function<void(ordered_json&)>& damage) {
    ordered_json config = sound_config(false);
    damage(config["quantization_config"]);
    const auto problems = problems_of(sound_entries(false), config);
    return problems.size() == 1 ? problems[0] : std::to_string(problems.size()) + " problems";
  };
  EXPECT_EQ(problem([](ordered_json& c) { c["format"] = "pack-quantized"; }),
            "config.json: /quantization_config/format: expected \"int-quantized\", found \"pack-quantized\"");
  EXPECT_EQ(problem([](ordered_json& c) { c.erase("ignore"); }),
            "config.json: /quantization_config: \"ignore\" is missing");
  const auto group = [](ordered_json& c) -> ordered_json& { return c["config_groups"]["group_0"]; };
  EXPECT_NE(
      problem([&](ordered_json& c) { group(c)["input_activations"] = nullptr; }).find("input_activations"),
      std::string::npos)
      << "an engine would take it for W8A16";
  EXPECT_NE(
      problem([&](ordered_json& c) { group(c)["weights"]["strategy"] = "group"; }).find("weights/strategy"),
      std::string::npos);
  EXPECT_NE(problem([&](ordered_json& c) { group(c)["input_activations"]["dynamic"] = false; }), "accepted")
      << "per token, yet stored";
  EXPECT_NE(problem([&](ordered_json& c) {
              group(c)["input_activations"]["dynamic"] = false;
            }).find("input_activations"),
            std::string::npos);
}

}  // namespace
