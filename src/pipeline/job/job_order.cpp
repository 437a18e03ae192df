#include "pipeline/job/job_order.hpp"

#include <algorithm>
#include <set>

namespace llmq::job {

std::vector<std::size_t> order_steps(const std::vector<std::vector<std::size_t>>& needs) {
  std::vector<std::vector<std::size_t>> needed_by(needs.size());
  std::vector<std::size_t> missing(needs.size());
  std::set<std::size_t> ready;
  for (std::size_t step = 0; step < needs.size(); ++step) {
    missing[step] = needs[step].size();
    for (const std::size_t needed : needs[step]) needed_by[needed].push_back(step);
    if (missing[step] == 0) ready.insert(step);
  }
  std::vector<std::size_t> order;
  while (!ready.empty()) {
    const std::size_t step = *ready.begin();
    ready.erase(ready.begin());
    order.push_back(step);
    for (const std::size_t next : needed_by[step]) {
      if (--missing[next] == 0) ready.insert(next);
    }
  }
  return order;
}

std::vector<std::size_t> find_cycle(const std::vector<std::vector<std::size_t>>& needs,
                                    const std::vector<std::size_t>& order) {
  std::vector<char> ordered(needs.size(), 0);
  for (const std::size_t step : order) ordered[step] = 1;
  const auto first = std::find(ordered.begin(), ordered.end(), 0);
  if (first == ordered.end()) return {};
  // Every step that is left needs another one that is left: walking on, one must come again.
  std::vector<std::size_t> walk;
  auto step = static_cast<std::size_t>(first - ordered.begin());
  for (;;) {
    const bool again = std::find(walk.begin(), walk.end(), step) != walk.end();
    walk.push_back(step);
    if (again) break;
    step = *std::find_if(needs[step].begin(), needs[step].end(),
                         [&](std::size_t needed) { return ordered[needed] == 0; });
  }
  walk.erase(walk.begin(), std::find(walk.begin(), walk.end(), walk.back()));
  return walk;
}

}  // namespace llmq::job
