// docgen DIRECTORY: writes the manual page and the shell completions below DIRECTORY, in the places where an
// installation has them below share/. Runs in the build, from the tree that parses the command line.
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "cli/command_line.hpp"
#include "cli/docgen/writers.hpp"

namespace {

void write(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (!file) throw std::runtime_error(fmt::format("cannot write {}", path.string()));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: docgen DIRECTORY\n", stderr);
    return 2;
  }
  try {
    const std::filesystem::path share = argv[1];
    const llmq::cli::CommandLine command_line;
    const auto catalogue = llmq::cli::make_catalogue(command_line.app());
    write(share / "man/man1/llm-quantize.1", llmq::cli::man_page(catalogue, LLMQ_VERSION));
    write(share / "bash-completion/completions/llm-quantize", llmq::cli::bash_completion(catalogue));
    write(share / "zsh/site-functions/_llm-quantize", llmq::cli::zsh_completion(catalogue));
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "docgen: {}\n", error.what());
    return 1;
  }
}
