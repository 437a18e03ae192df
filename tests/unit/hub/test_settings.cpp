// Where hub models are looked for and where downloads go, by the environment.
#include <cstdlib>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "llmq/hub/fetch.hpp"

namespace {
using namespace llmq::hub;
using Paths = std::vector<std::filesystem::path>;

/// The variables of this test for as long as it lives; those it does not name are unset.
class Environment {
 public:
  explicit Environment(const std::map<std::string, std::string>& wanted) {
    for (const char* name : {"HOME", "HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME", "LLM_QUANTIZE_CACHE"}) {
      if (const char* value = std::getenv(name)) before_[name] = value;
      unsetenv(name);
    }
    for (const auto& [name, value] : wanted) setenv(name.c_str(), value.c_str(), 1);
  }
  ~Environment() {
    for (const char* name : {"HOME", "HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME", "LLM_QUANTIZE_CACHE"})
      unsetenv(name);
    for (const auto& [name, value] : before_) setenv(name.c_str(), value.c_str(), 1);
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  std::map<std::string, std::string> before_;
};

void expect_places(const std::map<std::string, std::string>& environment, const Paths& caches,
                   const std::string& downloads) {
  const Environment set(environment);
  const Settings settings = settings_from_environment();
  EXPECT_EQ(settings.caches, caches);
  EXPECT_EQ(settings.downloads, downloads);
}

TEST(HubSettings, downloads_go_to_our_cache_and_that_of_huggingface_hub_is_read) {
  expect_places({{"HOME", "/h"}}, {"/h/.cache/huggingface/hub", "/h/.cache/llm-quantize/hub"},
                "/h/.cache/llm-quantize/hub");
  expect_places({{"HOME", "/h"}, {"XDG_CACHE_HOME", "/x"}}, {"/x/huggingface/hub", "/x/llm-quantize/hub"},
                "/x/llm-quantize/hub");
}

TEST(HubSettings, a_cache_that_was_named_takes_them) {
  expect_places({{"HOME", "/h"}, {"HF_HOME", "/f"}}, {"/f/hub"}, "/f/hub");
  expect_places({{"HOME", "/h"}, {"HF_HOME", "/f"}, {"HF_HUB_CACHE", "/c"}}, {"/c"}, "/c");
  expect_places({{"HOME", "/h"}, {"HF_HUB_CACHE", "/c"}, {"LLM_QUANTIZE_CACHE", "/q"}}, {"/c", "/q/hub"},
                "/q/hub");
  expect_places({{"HOME", "/h"}, {"LLM_QUANTIZE_CACHE", "/q"}}, {"/h/.cache/huggingface/hub", "/q/hub"},
                "/q/hub");
}

TEST(HubSettings, without_a_home_there_is_nowhere) { expect_places({}, {}, ""); }

}  // namespace
