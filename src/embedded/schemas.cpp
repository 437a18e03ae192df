#include "llmq/embedded/schemas.hpp"

extern "C" {
extern const char llmq_job_schema_begin[];
extern const char llmq_job_schema_end[];
extern const char llmq_layer_bits_schema_begin[];
extern const char llmq_layer_bits_schema_end[];
extern const char llmq_dqprofile_schema_begin[];
extern const char llmq_dqprofile_schema_end[];
extern const char llmq_qreport_schema_begin[];
extern const char llmq_qreport_schema_end[];
extern const char llmq_w8a8_schema_begin[];
extern const char llmq_w8a8_schema_end[];
}

namespace llmq {

std::string_view embedded_job_schema() noexcept { return {llmq_job_schema_begin, llmq_job_schema_end}; }
std::string_view embedded_layer_bits_schema() noexcept {
  return {llmq_layer_bits_schema_begin, llmq_layer_bits_schema_end};
}
std::string_view embedded_dqprofile_schema() noexcept {
  return {llmq_dqprofile_schema_begin, llmq_dqprofile_schema_end};
}

std::string_view embedded_qreport_schema() noexcept {
  return {llmq_qreport_schema_begin, llmq_qreport_schema_end};
}

std::string_view embedded_w8a8_schema() noexcept { return {llmq_w8a8_schema_begin, llmq_w8a8_schema_end}; }

}  // namespace llmq
