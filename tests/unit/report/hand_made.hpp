// A matrix small enough for sums by hand: plain, gradient, experts, outside of layers, super weights.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "llmq/formats/imatrix.hpp"
#include "llmq/model/spec.hpp"

namespace llmq {

inline ModelSpec small_spec(std::uint32_t layers = 2) {
  ModelSpec spec;
  spec.name = "small";
  spec.architecture = "llama";
  spec.n_layers = layers;
  spec.hidden_size = 4;
  return spec;
}

/// Columns with mean squares 1, 2, 3, 200 over 10 tokens; mean fourth powers 2, 5, 1, 2 times the squares of
/// those.
inline ImatrixEntry plain_entry() {
  ImatrixEntry entry;
  entry.in_features = 4;
  entry.sum_sq = {10, 20, 30, 2000};
  entry.sum = {0, 0, 0, 0};
  entry.sum_quad = {20, 200, 90, 800000};
  entry.max_abs = {2, 3, 2, 30};
  entry.counts = {10};
  return entry;
}

/// Three experts of two columns: 4 tokens (the second column never moves), none, 2 tokens.
inline ImatrixEntry expert_entry() {
  ImatrixEntry entry;
  entry.in_features = 2;
  entry.n_mat = 3;
  entry.sum_sq = {4, 0, 0, 0, 2, 6};
  entry.counts = {4, 0, 2};
  return entry;
}

/// As the gradient method leaves it, over 2 samples.
inline ImatrixEntry gradient_entry() {
  ImatrixEntry entry;
  entry.in_features = 2;
  entry.sum_sq = {8, 8};
  entry.counts = {4};
  entry.sensitivity = {{2, 4}, {3, 3, 3}, {3}, 2};
  return entry;
}

inline Imatrix hand_made() {
  Imatrix imatrix;
  imatrix.dataset_name = "text.txt";
  imatrix.dataset_hash = "sha256:0123456789abcdef0123";
  imatrix.ctx = 5;
  imatrix.samples = 2;
  imatrix.entries["blk.0.attn_q.weight"] = plain_entry();
  imatrix.entries["blk.0.ffn_down_exps.weight"] = expert_entry();
  imatrix.entries["blk.1.attn_k.weight"] = gradient_entry();
  imatrix.entries["output.weight"] = plain_entry();
  return imatrix;
}

inline void add_super_weights(Imatrix& imatrix) {
  imatrix.super_weights.searched = true;
  imatrix.super_weights.coverage = 0.25;
  imatrix.super_weights.covered["blk.0.attn_q.weight"] = {1, 2, 7};
  // The second is covered as well, and counted once: 1 x 4 + 3.
  imatrix.super_weights.spikes = {{"blk.1.attn_k.weight", 2, 1, -3.5, 40, 90, 0.75, 0.5},
                                  {"blk.0.attn_q.weight", 1, 3, 2.25, 10, 20, -0.125, 0.0625}};
}

}  // namespace llmq
