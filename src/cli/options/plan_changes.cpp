#include "cli/options/plan_changes.hpp"

#include <fmt/format.h>

#include "llmq/core/error.hpp"

#include "cli/options/value_types.hpp"

namespace llmq::cli {
namespace {

/// `parse()`, with the option's name in front of what is wrong.
template <typename Parse>
auto named(const char* option, Parse parse) {
  try {
    return parse();
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{}: {}", option, error.what()), error.suggestion());
  }
}

}  // namespace

void PlanChangesParser::add_options(CLI::App& command) {
  command
      .add_option(
          "--tensor-type", tensor_types_,
          "Type of all tensors in whose name the regular expression is found; repeatable, the first that is "
          "found decides")
      ->type_name("PATTERN=TYPE")
      ->expected(1)
      ->take_all();
  command
      .add_option("--layer-bits", layer_bits_,
                  "More such rules from a JSON file (docs/formats/layer-bits.md)")
      ->type_name(kFileValue);
  command.add_flag("--pure", pure_, "The level's default type for every tensor instead of its mix");
  command.add_flag("--leave-output-tensor", leave_output_, "Keep output.weight in the model's own type");
  command.add_option("--output-tensor-type", output_type_, "Type of output.weight")
      ->type_name(kTensorTypeValue);
  command.add_option("--token-embedding-type", token_embd_type_, "Type of token_embd.weight")
      ->type_name(kTensorTypeValue);
  command
      .add_option(
          "--override-kv", metadata_,
          "Set a value of the file's metadata, KEY=TYPE:VALUE with TYPE int, float, bool or str; repeatable")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->take_all();
}

void PlanChangesParser::apply(QuantizeOptions& options) const {
  TypeRules& types = options.changes.types;
  for (const std::string& text : tensor_types_)
    types.by_name.push_back(named("--tensor-type", [&] { return parse_type_rule(text); }));
  if (!layer_bits_.empty()) options.layer_bits = layer_bits_;
  types.pure = pure_;
  types.leave_output = leave_output_;
  if (!output_type_.empty())
    types.output = named("--output-tensor-type", [&] { return parse_tensor_type(output_type_); });
  if (!token_embd_type_.empty())
    types.token_embd = named("--token-embedding-type", [&] { return parse_tensor_type(token_embd_type_); });
  for (const std::string& text : metadata_) options.changes.metadata.push_back(parse_metadata_override(text));
}

}  // namespace llmq::cli
