#include "llmq/report/quality_report.hpp"
namespace llmq {
std::string quality_html(const QualityResult&) { return ""; }
std::string compare_html(const CompareResult&) { return ""; }
}
