// What the manual says beside commands and options: the environment and the files of a run.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace llmq::cli {

struct Described {
  std::string_view name;
  std::string_view text;
};

/// A test compares the LLM_QUANTIZE_ names with those in the sources.
inline constexpr Described kEnvironment[] = {
    {"LLM_QUANTIZE_CHECKPOINT_DIR",
     "Directory of unfinished work where --checkpoint-dir is not given (default: ./.checkpoint)."},
    {"LLM_QUANTIZE_PROFILE_DIR",
     "Directory of your own .dqprofile files (default: ~/.config/llm-quantize/profiles)."},
    {"LLM_QUANTIZE_IMATRIX_CACHE",
     "Directory of importance matrices that are computed on the fly, for reuse (default: "
     "~/.cache/llm-quantize/imatrix)."},
    {"LLM_QUANTIZE_QUALITY_THRESHOLD",
     "Growth of the perplexity in percent above which the quality commands warn (default: 20)."},
    {"LLM_QUANTIZE_COHERENCE_THRESHOLD",
     "Score of quantize --coherence-check, in [0, 1], below which it fails (default: 0.5)."},
    {"LLM_QUANTIZE_CACHE",
     "Directory for downloads of hub models, below it hub/ in the layout of huggingface_hub (default: the "
     "cache "
     "that HF_HUB_CACHE or HF_HOME names, else llm-quantize in XDG_CACHE_HOME or ~/.cache)."},
    {"LLM_QUANTIZE_DOWNLOAD_PATIENCE",
     "Seconds that a download goes on trying without receiving a byte (default: 60)."},
    {"HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME",
     "Where hub models are looked for: HF_HUB_CACHE, else HF_HOME/hub, else huggingface/hub in "
     "XDG_CACHE_HOME (default: ~/.cache/huggingface/hub)."},
    {"HF_TOKEN",
     "Token for models that ask for one (default: the one in HF_HOME/token). Sent to the hub alone, never "
     "shown."},
    {"HF_ENDPOINT", "Address of the hub (default: https://huggingface.co)."},
    {"HF_HUB_OFFLINE", "1, on, yes or true: hub models come from the caches only."},
    {"https_proxy, http_proxy, all_proxy, no_proxy", "Proxies of downloads, as for curl."},
    {"LLM_QUANTIZE_KERNELS",
     "Instruction set of the vector kernels, one of those that info --kernels lists. All give the same "
     "bytes."},
    {"LLM_QUANTIZE_MODULE_DIR",
     "Directory of the modules that run models and read tokenizer.model (default: beside the program, as "
     "installed)."},
    {"OMP_NUM_THREADS, SLURM_CPUS_PER_TASK",
     "Threads of a rank where --threads is not given, in this order."},
    {"OMPI_COMM_WORLD_SIZE, PMIX_RANK, PMI_RANK",
     "Set by launchers; with --comm auto any of them starts MPI."},
};

inline constexpr Described kFiles[] = {
    {"MODEL/config.json, MODEL/*.safetensors, MODEL/tokenizer.json, MODEL/tokenizer.model",
     "A model as Hugging Face directory."},
    {"~/.cache/huggingface/hub/models--ORG--NAME",
     "A hub model: refs/REVISION, snapshots/COMMIT, blobs/. BLOB.llmq-partial and BLOB.llmq-received are a "
     "download that another run continues."},
    {"./MODEL-LEVEL.gguf",
     "What quantize writes. Until it is complete and verified it is called NAME.gguf.partial."},
    {"./MODEL-LEVEL-00001-of-0000N.gguf",
     "The same in several files, with --split-max-size. Give the first where a model is asked for."},
    {"./MODEL-hf", "A Hugging Face directory that convert writes."},
    {"./MODEL.imatrix",
     "What analyze writes: an importance matrix in HDF5. quantize also reads the two importance matrix "
     "formats "
     "of llama.cpp."},
    {"./.checkpoint",
     "Unfinished work, one subdirectory a job; removed when the job succeeds. --resume continues it on any "
     "number of ranks."},
};

}  // namespace llmq::cli
