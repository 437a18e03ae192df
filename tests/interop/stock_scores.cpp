// Judges models with stock llama.cpp's library alone: stock_scores LIBRARIES IDS CTX CHUNKS BASE.gguf
// MODEL.gguf... Full softmax of both in f64, on the same chunks as our own protocol
// (docs/formats/evaluation.md). A MODEL may be a file NAME.logits of print_logits. IDS: token ids of the
// whole text, separated by white space. One line a model: its path, perplexity of the base and of the model,
// mean KL divergence, share of the same top token, number of scores. Built by quality.sh against the
// library's own headers.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "ggml-backend.h"
#include "llama.h"

namespace {

using Row = std::vector<double>;  // ln p by token

struct Text {
  std::vector<std::vector<llama_token>> chunks;
};

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "stock_scores: %s\n", what.c_str());
  std::exit(1);
}

Text read_text(const std::string& path, std::size_t ctx, std::size_t most) {
  std::ifstream file(path);
  const std::vector<llama_token> ids{std::istream_iterator<llama_token>(file), {}};
  Text text;
  for (std::size_t at = 0; at + ctx <= ids.size() && text.chunks.size() < most; at += ctx) {
    text.chunks.emplace_back(ids.begin() + static_cast<std::ptrdiff_t>(at),
                             ids.begin() + static_cast<std::ptrdiff_t>(at + ctx));
    text.chunks.back().front() = ids.front();
  }
  if (text.chunks.empty()) fail("no text");
  return text;
}

Row log_probabilities(const float* logits, int vocabulary) {
  const double max = *std::max_element(logits, logits + vocabulary);
  double sum = 0;
  for (int k = 0; k < vocabulary; ++k) sum += std::exp(logits[k] - max);
  Row row(logits, logits + vocabulary);
  for (double& value : row) value -= max + std::log(sum);
  return row;
}

/// Rows of all scored positions, chunk by chunk.
std::vector<Row> evaluate(const std::string& path, const Text& text) {
  llama_model* model = llama_model_load_from_file(path.c_str(), llama_model_default_params());
  if (model == nullptr) fail("cannot load " + path);
  const int vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model));
  const std::size_t ctx = text.chunks.front().size();
  llama_context_params params = llama_context_default_params();
  params.n_ctx = params.n_batch = params.n_ubatch = static_cast<std::uint32_t>(ctx);
  params.n_threads = params.n_threads_batch = 1;
  params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
  params.type_k = params.type_v = GGML_TYPE_F32;
  llama_context* context = llama_init_from_model(model, params);
  if (context == nullptr) fail("no context for " + path);
  llama_batch batch = llama_batch_init(static_cast<std::int32_t>(ctx), 0, 1);
  std::vector<Row> rows;
  for (const auto& chunk : text.chunks) {
    llama_memory_clear(llama_get_memory(context), true);
    batch.n_tokens = static_cast<std::int32_t>(ctx);
    for (std::size_t j = 0; j < ctx; ++j) {
      batch.token[j] = chunk[j];
      batch.pos[j] = static_cast<llama_pos>(j);
      batch.n_seq_id[j] = 1;
      batch.seq_id[j][0] = 0;
      batch.logits[j] = j >= ctx / 2 && j + 1 < ctx;
    }
    if (llama_decode(context, batch) != 0) fail("cannot run " + path);
    for (std::size_t j = ctx / 2; j + 1 < ctx; ++j)
      rows.push_back(
          log_probabilities(llama_get_logits_ith(context, static_cast<std::int32_t>(j)), vocabulary));
  }
  llama_batch_free(batch);
  llama_free(context);
  llama_model_free(model);
  return rows;
}

/// Rows that print_logits wrote.
std::vector<Row> read_logits(const std::string& path, std::size_t vocabulary) {
  std::ifstream file(path, std::ios::binary);
  std::vector<float> logits(vocabulary);
  std::vector<Row> rows;
  while (file.read(reinterpret_cast<char*>(logits.data()),
                   static_cast<std::streamsize>(vocabulary * sizeof(float))))
    rows.push_back(log_probabilities(logits.data(), static_cast<int>(vocabulary)));
  return rows;
}

void report(const std::string& path, const std::vector<Row>& base, const std::vector<Row>& other,
            const Text& text) {
  double nll_base = 0, nll = 0, kld = 0, same = 0;
  std::size_t i = 0;
  for (const auto& chunk : text.chunks) {
    for (std::size_t j = chunk.size() / 2; j + 1 < chunk.size(); ++j, ++i) {
      const auto next = static_cast<std::size_t>(chunk[j + 1]);
      nll_base -= base[i][next];
      nll -= other[i][next];
      for (std::size_t k = 0; k < base[i].size(); ++k)
        kld += std::exp(base[i][k]) * (base[i][k] - other[i][k]);
      const auto top = [](const Row& row) { return std::max_element(row.begin(), row.end()) - row.begin(); };
      same += top(base[i]) == top(other[i]);
    }
  }
  const auto n = static_cast<double>(i);
  std::printf("%s %.9g %.9g %.9g %.9g %zu\n", path.c_str(), std::exp(nll_base / n), std::exp(nll / n),
              kld / n, 100 * same / n, i);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 7) fail("usage: stock_scores LIBRARIES IDS CTX CHUNKS BASE.gguf MODEL.gguf...");
  llama_log_set(
      [](ggml_log_level level, const char* message, void*) {
        if (level == GGML_LOG_LEVEL_ERROR) std::fputs(message, stderr);
      },
      nullptr);
  ggml_backend_load_all_from_path(argv[1]);
  const Text text =
      read_text(argv[2], std::strtoul(argv[3], nullptr, 10), std::strtoul(argv[4], nullptr, 10));
  const std::vector<Row> base = evaluate(argv[5], text);
  for (int i = 6; i < argc; ++i) {
    const std::string path = argv[i];
    const bool logits = path.size() > 7 && path.substr(path.size() - 7) == ".logits";
    const std::vector<Row> rows = logits ? read_logits(path, base.front().size()) : evaluate(path, text);
    if (rows.size() != base.size()) fail(path + ": other positions");
    report(path, base, rows, text);
  }
}
