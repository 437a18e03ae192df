// All levels on models of several shapes, against what llama-quantize chooses for them
// (tests/data/vectors/mixes), and which levels are offered.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "llmq/quant/codec.hpp"
#include "llmq/quant/type_policy.hpp"

#include "quant/mixes.hpp"

namespace {
using namespace llmq;
using Type = GgmlType;

struct Shape {
  MixModel model;
  std::uint64_t hidden = 0;
  std::uint64_t ffn = 0;
  bool tied = false;
  bool shared_expert = false;
};

/// One line of a table: level, imatrix, and by class the types of its tensors in layer order.
struct Answer {
  std::string level;
  bool with = true;     // holds with an imatrix
  bool without = true;  // holds without
  std::map<std::string, std::vector<Type>> classes;
};

/// "2*Q6_K+Q4_K" -> Q6_K Q6_K Q4_K.
std::vector<Type> expand(const std::string& runs) {
  std::vector<Type> types;
  std::istringstream in(runs);
  for (std::string run; std::getline(in, run, '+');) {
    const std::size_t star = run.find('*');
    const std::size_t count = star == std::string::npos ? 1 : std::stoul(run.substr(0, star));
    const auto type = ggml_type_from_name(star == std::string::npos ? run : run.substr(star + 1));
    types.insert(types.end(), count, type.value());
  }
  return types;
}

std::pair<std::string, std::string> split(const std::string& word) {
  const std::size_t at = word.find('=');
  return {word.substr(0, at), word.substr(at + 1)};
}

class Tables {
 public:
  explicit Tables(const std::string& name) {
    std::ifstream in(std::filesystem::path(LLMQ_TEST_DATA) / "vectors/mixes" / (name + ".txt"));
    for (std::string line; std::getline(in, line);) {
      std::istringstream words(line);
      std::string first;
      words >> first;
      if (first == "shape")
        read_shape(words);
      else
        read_answer(first, words);
    }
  }

  Shape shape;
  std::vector<Answer> answers;

 private:
  void read_shape(std::istringstream& words) {
    std::map<std::string, std::string> fields;
    for (std::string word; words >> word;) fields.insert(split(word));
    const auto number = [&](const char* key) {
      return static_cast<std::uint32_t>(std::stoul(fields.at(key)));
    };
    shape.model = {fields.at("arch"), number("layers"), number("heads"), number("kv"), number("experts")};
    shape.hidden = number("hidden");
    shape.ffn = number("ffn");
    shape.tied = number("tied") != 0;
    shape.shared_expert = number("shared") != 0;
  }

  void read_answer(const std::string& level, std::istringstream& words) {
    Answer answer;
    answer.level = level;
    std::string word;
    words >> word;
    answer.with = word != "without";
    answer.without = word != "with";
    while (words >> word) {
      const auto [name, runs] = split(word);
      answer.classes[name] = expand(runs);
    }
    answers.push_back(std::move(answer));
  }
};

std::vector<MixTensor> tensors_of(const Shape& shape) {
  const std::uint64_t hidden = shape.hidden;
  const std::uint64_t ffn = shape.ffn;
  std::vector<MixTensor> tensors = {{"token_embd.weight", hidden, 512, 1, Type::F16},
                                    {"output_norm.weight", hidden, 1, 1, Type::F32}};
  if (!shape.tied) tensors.push_back({"output.weight", hidden, 512, 1, Type::F16});
  const bool phi = shape.model.architecture == "phi3";
  for (std::uint32_t i = shape.model.n_layers; i-- > 0;) {  // backwards: the order given must not matter
    const auto add = [&](const char* name, std::uint64_t ne0, std::uint64_t ne1, std::uint64_t ne2 = 1) {
      tensors.push_back({"blk." + std::to_string(i) + "." + name + ".weight", ne0, ne1, ne2, Type::F16});
    };
    add("attn_norm", hidden, 1);
    for (const char* name : {"attn_q", "attn_k", "attn_v"}) {
      if (!phi) add(name, hidden, hidden);
    }
    if (phi) add("attn_qkv", hidden, 3 * hidden);
    add("attn_output", hidden, hidden);
    add("ffn_norm", hidden, 1);
    const std::uint32_t experts = shape.model.expert_count;
    const auto add_ffn = [&](const char* suffix, std::uint64_t matrices) {
      if (!phi) add((std::string("ffn_gate") + suffix).c_str(), hidden, ffn, matrices);
      add((std::string("ffn_up") + suffix).c_str(), hidden, ffn, matrices);
      add((std::string("ffn_down") + suffix).c_str(), ffn, hidden, matrices);
    };
    if (experts > 0) {
      add("ffn_gate_inp", hidden, experts);
      add_ffn("_exps", experts);
      if (shape.shared_expert) add_ffn("_shexp", 1);
    } else {
      add_ffn("", 1);
    }
  }
  return tensors;
}

/// Class and layer of a tensor: ("attn_v", 3) for blk.3.attn_v.weight.
std::pair<std::string, std::size_t> class_of(const std::string& name) {
  std::string rest = name.substr(0, name.size() - std::string(".weight").size());
  if (!rest.starts_with("blk.")) return {rest, 0};
  const std::size_t dot = rest.find('.', 4);
  return {rest.substr(dot + 1), std::stoul(rest.substr(4, dot - 4))};
}

/// Compares every tensor with the answer; classes in `except` are left to the caller.
std::size_t replay(const Tables& tables, const Answer& answer, bool has_imatrix,
                   const std::set<std::string>& except = {}) {
  const std::vector<MixTensor> tensors = tensors_of(tables.shape);
  const auto choices = choose_types(*find_file_level(answer.level), tables.shape.model, tensors, has_imatrix);
  std::size_t compared = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto [name, layer] = class_of(tensors[i].name);
    const auto found = answer.classes.find(name);
    EXPECT_EQ(choices[i].quantized, found != answer.classes.end()) << tensors[i].name;
    if (found == answer.classes.end() || except.contains(name)) continue;
    const std::vector<Type>& wanted = found->second;
    const Type type = wanted.size() == 1 ? wanted[0] : wanted.at(layer);
    EXPECT_EQ(type_name(choices[i].type), type_name(type))
        << answer.level << (has_imatrix ? " with" : " without") << " imatrix, " << tensors[i].name;
    ++compared;
  }
  return compared;
}

class StockTables : public testing::TestWithParam<const char*> {};

TEST_P(StockTables, every_level_chooses_what_llama_quantize_chooses) {
  const Tables tables(GetParam());
  std::set<std::string> levels;
  std::size_t compared = 0;

  for (const Answer& answer : tables.answers) {
    levels.insert(answer.level);
    if (answer.with) compared += replay(tables, answer, true);
    if (answer.without) compared += replay(tables, answer, false);
  }

  EXPECT_EQ(levels.size(), file_levels().size());
  EXPECT_GE(compared, 2 * levels.size() * (1 + 7 * tables.shape.model.n_layers));
}

INSTANTIATE_TEST_SUITE_P(Shapes, StockTables,
                         testing::Values("dense", "tied_gqa4", "experts8_gqa4", "experts4",
                                         "experts60_shared", "rows288", "seventy"),
                         [](const auto& shape) { return std::string(shape.param); });

// llama-quantize of 2026 gives attn_qkv the rule of attn_v; ours is the older rule by which a level has one
// type for it (docs/formats/mixes.md). Everything else of such a model is the same.
TEST(StockTablesOfPhi3, all_but_attn_qkv_is_the_same_and_attn_qkv_follows_the_older_rule) {
  const Tables tables("phi3");
  const std::map<std::string, Type> older = {{"Q3_K_M", Type::Q4_K},
                                             {"Q3_K_L", Type::Q4_K},
                                             {"Q4_K_M", Type::Q5_K},
                                             {"Q5_K_M", Type::Q6_K},
                                             {"IQ3_M", Type::Q4_K}};

  for (const Answer& answer : tables.answers) {
    for (const bool has_imatrix : {false, true}) {
      if (has_imatrix ? !answer.with : !answer.without) continue;
      replay(tables, answer, has_imatrix, {"attn_qkv"});
      const FileLevel& level = *find_file_level(answer.level);
      const std::vector<MixTensor> tensors = tensors_of(tables.shape);
      const auto choices = choose_types(level, tables.shape.model, tensors, has_imatrix);
      const auto found = older.find(answer.level);
      for (std::size_t i = 0; i < tensors.size(); ++i) {
        if (class_of(tensors[i].name).first != "attn_qkv") continue;
        EXPECT_EQ(choices[i].type, found == older.end() ? level.default_type : found->second) << answer.level;
      }
    }
  }
}

TEST(Availability, a_level_is_offered_when_all_it_may_need_can_be_encoded) {
  for (const FileLevel& level : file_levels()) {
    bool all = true;
    for (const Type type : possible_types(find_mix(level.file_type))) all = all && can_encode(type);
    EXPECT_EQ(level.available, all) << level.name;
  }
  EXPECT_TRUE(find_file_level("Q4_K_M")->available);
  EXPECT_TRUE(find_file_level("Q4_1")->available);
}

TEST(Availability, no_shape_leads_to_a_type_that_the_level_does_not_list) {
  for (const char* name : {"dense", "tied_gqa4", "experts8_gqa4", "experts60_shared", "seventy", "phi3"}) {
    Shape shape = Tables(name).shape;
    for (const std::uint64_t hidden : {256u, 288u, 172u}) {
      shape.hidden = hidden;
      const std::vector<MixTensor> tensors = tensors_of(shape);
      for (const FileLevel& level : file_levels()) {
        const std::vector<Type> listed = possible_types(find_mix(level.file_type));
        for (const bool has_imatrix : {false, true}) {
          for (const TypeChoice& choice : choose_types(level, shape.model, tensors, has_imatrix)) {
            if (!choice.quantized) continue;
            EXPECT_NE(std::find(listed.begin(), listed.end(), choice.type), listed.end())
                << level.name << " " << type_name(choice.type);
          }
        }
      }
    }
  }
}

TEST(Levels, ternary_is_another_name_of_tq1_0) {
  EXPECT_EQ(find_file_level("ternary"), find_file_level("TQ1_0"));
  EXPECT_EQ(file_levels().size(), 32u);
}

}  // namespace
