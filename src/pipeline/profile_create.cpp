#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "llmq/allocate/importance_profile.hpp"
#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/core/text.hpp"
#include "llmq/formats/imatrix.hpp"
#include "llmq/pipeline/output_place.hpp"
#include "llmq/pipeline/profile.hpp"

#include "pipeline/profile_allocate.hpp"
#include "pipeline/tensor_importance.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

/// Bits that sizes are counted in where no model tells: almost every checkpoint is F16 or BF16.
constexpr double kAssumedOriginalBits = 16;
constexpr std::size_t kMaxIdLength = 128;

/// "My profile (v2)" -> "my-profile-v2".
std::string id_of(const std::string& name) {
  std::string id;
  for (const char c : to_lower(name)) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_';
    if (plain)
      id += c;
    else if (!id.empty() && id.back() != '-')
      id += '-';
  }
  if (id.ends_with('-')) id.pop_back();
  if (id.size() > kMaxIdLength) id.resize(kMaxIdLength);
  return id.empty() ? "profile" : id;
}

void check_name(const ProfileCreateOptions& options) {
  const std::string& name = options.name;
  const bool file_name = name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
  if (!name.empty() && name.size() <= 200 && is_valid_utf8(name) && (file_name || !options.output.empty()))
    return;
  throw Error(ExitCode::invalid_arguments,
              fmt::format("--name \"{}\": a name has 1 to 200 bytes and no slash", name.substr(0, 200)),
              "Choose another --name, or say with -o where the file goes");
}

[[noreturn]] void impossible(const std::string& pointer, const std::string& reason) {
  throw Error(ExitCode::profile, fmt::format("{}: {}", pointer, reason), "Choose a larger target");
}

/// Fills in the targets. @returns bits a weight that layers get on average
double set_targets(const ProfileCreateOptions& options, const ModelSource* source, Profile& profile) {
  if (!options.target_size) {
    profile.target_bpw = options.target_bpw.value_or(kDefaultTargetBpw);
    return *profile.target_bpw;
  }
  if (source == nullptr) {
    if (options.target_size->bytes) {
      throw Error(ExitCode::invalid_arguments, "--target-size in bytes needs to know the model",
                  "Add --model MODEL, or give a ratio in (0, 1]");
    }
    profile.target_compression = *options.target_size->ratio;
    const double bits = kAssumedOriginalBits * *profile.target_compression;
    if (bits < kMinBitWidth)
      impossible("/target_compression",
                 fmt::format("{:g} of 16-bit weights is {:g} bits a weight, fewer than any type has",
                             *profile.target_compression, bits));
    return bits;
  }
  const std::uint64_t original = source->stored_bytes();
  const std::uint64_t most = options.target_size->most_bytes(original);
  if (most > original) {
    throw Error(ExitCode::profile,
                fmt::format("/target_compression: {} bytes is above the {} bytes of the original",
                            format_count(most), format_count(original)),
                "Choose a smaller target");
  }
  profile.target_compression =
      options.target_size->ratio.value_or(static_cast<double>(most) / static_cast<double>(original));
  const std::vector<ProfileTensor> tensors = profile_tensors(*source);
  const ProfileFit fit = fit_profile(profile, tensors);
  require_fit(fit, profile.name);
  double weights = 0;
  for (const ProfileTensor& tensor : tensors) {
    if (tensor.quantizable) weights += static_cast<double>(tensor.elements());
  }
  return std::clamp(8.0 * static_cast<double>(*fit.most_bytes) / weights, kMinBitWidth, kMaxBitWidth);
}

std::vector<LayerAssignment> assign_layers(const Imatrix& imatrix, double target_bits) {
  const std::vector<LayerImportance> layers = layer_importance(imatrix);
  if (layers.empty()) {
    throw Error(ExitCode::imatrix, "the importance matrix has no entry of a layer (blk.N.)",
                "Make one with: llm-quantize analyze MODEL");
  }
  return assign_by_importance(layers, target_bits);
}

void check_output(const ProfileCreateOptions& options, const fs::path& output) {
  require_output_place(output, {options.imatrix, options.model}, "-o");
  if (!fs::exists(output) || options.force) return;
  throw Error(ExitCode::invalid_arguments, fmt::format("{}: exists already", output.string()),
              "Use --force to overwrite it, or choose another -o");
}

/// All but the assignments of a model that is there; what can be checked before work is.
Profile prepare(const ProfileCreateOptions& options, const fs::path& output) {
  check_name(options);
  const Imatrix imatrix = read_imatrix(options.imatrix);
  std::unique_ptr<ModelSource> source;
  if (!options.model.empty()) {
    source = open_model(options.model);
    (void)importance_map(imatrix, *source);  // refuses the matrix of another model
  }
  Profile profile;
  profile.id = id_of(options.name);
  profile.name = options.name;
  const double bits = set_targets(options, source.get(), profile);
  if (source == nullptr) {
    profile.description = fmt::format("Bits by importance ({})", imatrix.method);
    profile.layer_assignments = assign_layers(imatrix, bits);
  } else {
    profile.description = fmt::format("Bits by predicted loss ({})", imatrix.method);
    require_fit(fit_profile(profile, profile_tensors(*source)), profile.name);
  }
  check_output(options, output);
  return profile;
}

void write(const Profile& profile, const ProfileCreateOptions& options, const fs::path& output) {
  if (!options.model.empty())
    require_fit(fit_profile(profile, profile_tensors(*open_model(options.model))), profile.name);
  const std::string text = profile_text(profile);
  (void)parse_profile(text, output.string());  // what is written can be read
  write_file_atomically(output, text);
}

}  // namespace

fs::path default_profile_path(const std::string& name) { return name + ".dqprofile"; }

ProfileCreateResult run_profile_create(const StageContext& context, const ProfileCreateOptions& options) {
  ProfileCreateResult result;
  result.output = options.output.empty() ? default_profile_path(options.name) : options.output;
  context.comm.together("create the profile", [&] {
    if (context.comm.is_root()) result.profile = prepare(options, result.output);
  });
  if (!options.model.empty()) {
    ProfileCreateOptions wanted = options;
    if (!wanted.target_bpw && !wanted.target_size) wanted.target_bpw = kDefaultTargetBpw;
    result.profile.layer_assignments = assign_by_allocation(context, wanted);
  }
  context.comm.together("create the profile", [&] {
    if (context.comm.is_root()) write(result.profile, options, result.output);
  });
  return result;
}

}  // namespace llmq
