// A Hugging Face directory while it is written: what all kinds of them share. NAME.partial holds files with
// tensors, filled unit by unit, until it is complete and gets its name. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "llmq/core/dtype.hpp"
#include "llmq/formats/safetensors_layout.hpp"
#include "llmq/model/hf_files.hpp"
#include "llmq/pipeline/quantize.hpp"
#include "llmq/pipeline/stage_context.hpp"

#include "pipeline/job_directory.hpp"
#include "pipeline/unit_output.hpp"

namespace llmq {

/// DIRECTORY.partial.
std::filesystem::path partial_directory(const std::filesystem::path& output);

/// The files of a layout with their heads, in `directory`.
std::vector<OutputFile> output_files(const SafetensorsLayout& layout, const std::filesystem::path& directory);

/// Hash of all that is written but the tensors' data, for the identity of a job.
std::string hash_of_heads(const SafetensorsLayout& layout, const NamedTexts& files);

/// Sizes, and what the model was: head_bytes counts all that is no tensor.
void describe_directory(const ModelSource& source, const SafetensorsLayout& layout, const NamedTexts& files,
                        QuantizeResult& result);

/// Rows of a tensor that stays plain numbers.
struct PlainRows {
  std::string_view tensor;  ///< what messages call it
  DType dtype = DType::F32;
  float offset = 0;  ///< of the values above what is stored: 1 for Gemma's norms
  std::uint64_t first_row = 0, width = 0;
  const char* instead_of_half;  ///< what to do about a value that does not fit F16
};
/// Takes the offset off the values and encodes them. @throws Error(validation) that names a value that is not
/// finite or does not fit.
void encode_plain_rows(const PlainRows& rows, std::vector<float>& values, std::span<std::byte> out);

/// Local: removes from the directory what is not of the layout, and writes the small files beside it.
void complete_directory(const std::filesystem::path& partial, const SafetensorsLayout& layout,
                        const NamedTexts& files);

/// Collective: room on the disk, the directory, `make` on all ranks, `publish` on rank 0. After a failure
/// that no resume can mend the directory is removed, if it is this run's.
/// @param bytes  of all files  @param output  whose files stand in `partial`
void write_directory(const StageContext& context, JobDirectory& job, const std::filesystem::path& partial,
                     std::uint64_t bytes, const UnitOutput& output, const std::function<void()>& make,
                     const std::function<void()>& publish);

}  // namespace llmq
