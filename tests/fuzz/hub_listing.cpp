// What a hub says of a repository: list of files to the files a model needs.
#include <string_view>

#include "fuzz/fuzz.hpp"
#include "hub/listing.hpp"
#include "hub/names.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  return llmq::fuzz::expect_typed_errors([&] {
    const llmq::hub::Listing listing = llmq::hub::parse_listing(text, "https://hub/api");
    for (const llmq::hub::RemoteFile& file : listing.files)
      if (!llmq::hub::is_plain_file_name(file.name) || file.hash.find('/') != std::string::npos) std::abort();
    (void)llmq::hub::small_files(listing, "org/name");
    (void)llmq::hub::weight_files(listing, {"model.safetensors"}, "org/name");
  });
}
