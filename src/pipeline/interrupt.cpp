#include "llmq/pipeline/interrupt.hpp"

#include <csignal>

#include "llmq/core/error.hpp"

namespace llmq {
namespace {

volatile std::sig_atomic_t g_requested = 0;

extern "C" void on_signal(int number) {
  if (g_requested != 0 && number != SIGUSR1) {
    std::signal(number, SIG_DFL);
    std::raise(number);
    return;
  }
  g_requested = 1;
}

void install(int number) {
  struct sigaction action {};
  action.sa_handler = &on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(number, &action, nullptr);
}

}  // namespace

void install_interrupt_handlers(bool under_launcher) {
  install(SIGUSR1);
  if (!under_launcher) {
    install(SIGTERM);
    install(SIGINT);
  }
  // A file size limit should come back as EFBIG from the write, not end the process.
  std::signal(SIGXFSZ, SIG_IGN);
}

bool interrupt_requested() noexcept { return g_requested != 0; }

void stop_if_asked() {
  if (interrupt_requested()) throw Error(ExitCode::interrupted, "interrupted; nothing was kept");
}

}  // namespace llmq
