// A W8A8 directory made by hand from pebble: it opens, has the codes it was made of, and damaged scales are
// named.
#include <filesystem>
#include <functional>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/formats/compressed_tensors.hpp"
#include "llmq/formats/safetensors_layout.hpp"
#include "llmq/smoothquant/int8_source.hpp"

#include "support/scratch.hpp"

namespace {
using namespace llmq;
using testing_support::ScratchDirectory;
namespace fs = std::filesystem;

struct Part {
  SafetensorsEntry entry;
  std::string bytes;
};

template <class Value>
std::string bytes_of(const std::vector<Value>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(Value)};
}

std::vector<Part> parts_of(const ModelSource& model, const Int8Source& coded) {
  std::vector<Part> parts;
  for (const ModelTensor& tensor : model.tensors()) {
    const std::vector<std::uint64_t> shape = tensor.n_dims == 1
                                                 ? std::vector<std::uint64_t>{tensor.ne[0]}
                                                 : std::vector<std::uint64_t>{tensor.ne[1], tensor.ne[0]};
    if (!coded.has_codes(tensor)) {
      std::vector<float> values(tensor.elements());
      model.read_rows(tensor, 0, tensor.rows(), RowOrder::hugging_face, values);
      parts.push_back({{tensor.source_name, DType::F32, shape}, bytes_of(values)});
      continue;
    }
    std::vector<std::int8_t> codes(tensor.elements());
    std::vector<float> scales(tensor.rows());
    coded.read_codes(tensor, 0, codes, scales);
    parts.push_back({{tensor.source_name, DType::I8, shape}, bytes_of(codes)});
    parts.push_back({{tensor.source_name + "_scale", DType::F32, {tensor.rows(), 1}}, bytes_of(scales)});
  }
  return parts;
}

class Directory : public testing::Test {
 protected:
  Directory()
      : source_(open_model(std::string(LLMQ_TEST_DATA) + "/pebble")),
        coded_(*source_),
        parts_(parts_of(*source_, coded_)) {}

  void write(std::uint64_t shard_bytes) {
    const fs::path original = std::string(LLMQ_TEST_DATA) + "/pebble";
    for (const char* name : {"tokenizer.json", "tokenizer.model", "tokenizer_config.json"}) {
      if (fs::exists(original / name))
        fs::copy_file(original / name, scratch_ / name, fs::copy_options::overwrite_existing);
    }
    auto config = nlohmann::ordered_json::parse(read_file(original / "config.json", 1 << 20));
    config["quantization_config"] = w8a8_config(ActivationScales::dynamic, {"lm_head"});
    write_file_atomically(scratch_ / "config.json", config.dump(2));
    std::vector<SafetensorsEntry> entries;
    for (const Part& part : parts_) entries.push_back(part.entry);
    const SafetensorsLayout layout = plan_safetensors(entries, shard_bytes);
    for (std::size_t s = 0; s < layout.shards.size(); ++s) {
      std::string bytes = layout.shards[s].head;
      bytes.resize(layout.shards[s].file_bytes);
      for (std::size_t i = 0; i < parts_.size(); ++i) {
        if (layout.places[i].shard == s)
          bytes.replace(layout.places[i].offset_bytes, parts_[i].bytes.size(), parts_[i].bytes);
      }
      write_file_atomically(scratch_ / layout.shards[s].file_name, bytes);
    }
    if (!layout.index.empty()) write_file_atomically(scratch_ / "model.safetensors.index.json", layout.index);
  }

  Part& part(const std::string& end) {
    for (Part& one : parts_) {
      if (one.entry.name.ends_with(end)) return one;
    }
    throw InternalError("no such part");
  }

  ScratchDirectory scratch_;
  std::unique_ptr<ModelSource> source_;
  Int8Source coded_;
  std::vector<Part> parts_;
};

TEST_F(Directory, opens_with_the_codes_it_was_made_of) {
  for (const std::uint64_t shard_bytes : {std::uint64_t{1} << 40, std::uint64_t{1} << 20}) {
    write(shard_bytes);
    EXPECT_EQ(check_w8a8_directory(scratch_.path()), std::vector<std::string>{});
    const auto opened = open_model(scratch_.path());
    ASSERT_EQ(opened->tensors().size(), source_->tensors().size());
    for (const ModelTensor& tensor : source_->tensors()) {
      const ModelTensor& stored = *opened->find(tensor.name);
      ASSERT_EQ(opened->has_codes(stored), coded_.has_codes(tensor)) << tensor.name;
      std::vector<float> wanted(tensor.elements()), got(tensor.elements());
      coded_.read_rows(tensor, 0, tensor.rows(), RowOrder::gguf, wanted);
      opened->read_rows(stored, 0, stored.rows(), RowOrder::gguf, got);
      ASSERT_EQ(got, wanted) << tensor.name;
      if (!opened->has_codes(stored)) continue;
      EXPECT_EQ(stored.stored_type, GgmlType::I8);
      std::vector<std::int8_t> codes(2 * tensor.row_elems()), stored_codes(codes.size());
      std::vector<float> scales(2), stored_scales(2);
      coded_.read_codes(tensor, 3, codes, scales);
      opened->read_codes(stored, 3, stored_codes, stored_scales);
      ASSERT_EQ(codes, stored_codes);
      ASSERT_EQ(scales, stored_scales);
      EXPECT_EQ(opened->input_scale(stored), 0);
    }
    for (const auto& entry : fs::directory_iterator(scratch_.path())) fs::remove(entry.path());
  }
}

TEST_F(Directory, damaged_scales_are_named) {
  const std::vector<Part> sound = parts_;
  const auto message = [&](const std::function<void()>& damage) {
    parts_ = sound;
    damage();
    write(std::uint64_t{1} << 40);
    try {
      open_model(scratch_.path());
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::validation) << error.what();
      return std::string(error.what());
    }
    return std::string("opened");
  };
  EXPECT_EQ(message([] {}), "opened");
  EXPECT_NE(message([&] {
              std::erase_if(parts_, [](const Part& one) {
                return one.entry.name.ends_with("0.mlp.up_proj.weight_scale");
              });
            }).find("up_proj.weight is I8 and has no weight_scale"),
            std::string::npos);
  EXPECT_NE(message([&] {
              part("q_proj.weight_scale").entry.shape = {part("q_proj.weight_scale").entry.shape[0]};
            }).find("has the shape"),
            std::string::npos);
  EXPECT_NE(message([&] {
              const float nan = std::numeric_limits<float>::quiet_NaN();
              part("q_proj.weight_scale").bytes.replace(8, 4, reinterpret_cast<const char*>(&nan), 4);
            }).find("which is no scale"),
            std::string::npos);
}

}  // namespace
