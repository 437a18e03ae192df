#include "model/torch/matmul.hpp"

#include <dlfcn.h>

#include "llmq/core/checked.hpp"
#include "llmq/core/error.hpp"

namespace llmq::torch_pass {
namespace {

/// The Fortran entry: every BLAS has it (32-bit integers, as libtorch is built).
using Sgemm = void (*)(const char* transpose_a, const char* transpose_b, const int* m, const int* n,
                       const int* k, const float* alpha, const float* a, const int* lda, const float* b,
                       const int* ldb, const float* beta, float* c, const int* ldc);
Sgemm sgemm = nullptr;

int as_int(std::size_t value) { return checked_cast<int>(value, "size of a matrix product"); }

struct Factor {
  const char* transpose;
  MatrixView<const float> matrix;
};

/// Fortran stores columns: our row-major y = x w is its y^T = w^T x^T, with the factors exchanged.
void call(const Factor& w, const Factor& x, std::size_t inner, const MatrixView<float>& y, Product product) {
  const int m = as_int(y.columns), n = as_int(y.rows), k = as_int(inner);
  const int ldw = as_int(w.matrix.stride), ldx = as_int(x.matrix.stride), ldy = as_int(y.stride);
  const float alpha = 1.0F;
  const float beta = product == Product::add ? 1.0F : 0.0F;
  sgemm(w.transpose, x.transpose, &m, &n, &k, &alpha, w.matrix.data, &ldw, x.matrix.data, &ldx, &beta, y.data,
        &ldy);
}

}  // namespace

std::string open_blas() {
  sgemm = reinterpret_cast<Sgemm>(::dlsym(RTLD_DEFAULT, "sgemm_"));
  if (sgemm == nullptr) {
    throw Error(ExitCode::general, "no BLAS library is loaded with libtorch",
                "apt-get install libopenblas0-pthread");
  }
  const auto set_threads = reinterpret_cast<void (*)(int)>(::dlsym(RTLD_DEFAULT, "openblas_set_num_threads"));
  if (set_threads == nullptr) return "a BLAS that is not OpenBLAS (expect it to be slow)";
  set_threads(1);
  const auto config = reinterpret_cast<char* (*)()>(::dlsym(RTLD_DEFAULT, "openblas_get_config"));
  return config == nullptr ? "OpenBLAS" : config();
}

void multiply_transposed(MatrixView<const float> x, MatrixView<const float> w, MatrixView<float> y,
                         Product product) {
  call({"T", w}, {"N", x}, x.columns, y, product);
}

void multiply(MatrixView<const float> x, MatrixView<const float> w, MatrixView<float> y, Product product) {
  call({"N", w}, {"N", x}, x.columns, y, product);
}

void multiply_first_transposed(MatrixView<const float> x, MatrixView<const float> w, MatrixView<float> y,
                               Product product) {
  call({"N", w}, {"T", x}, x.rows, y, product);
}

}  // namespace llmq::torch_pass
