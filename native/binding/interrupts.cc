// An addon of its own, without libtorch, for the command line alone: answers Ctrl-C and SIGTERM while JavaScript's thread is busy.
//
// JavaScript's handlers of signals run when its thread is free, which a reward or a pattern that loops never lets it be. So a thread
// of this addon hears of each signal as well. If JavaScript does not answer the first one in time, the thread says what is waited
// for; a process that has not ended in time after the second one is ended here, as SIGKILL would end it.
#include <fcntl.h>
#include <napi.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <iterator>
#include <mutex>
#include <string>
#include <thread>

namespace {

using Clock = std::chrono::steady_clock;

// Half of the two seconds that the documentation promises.
constexpr std::chrono::milliseconds kPatience{1000};
constexpr int kSignals[] = {SIGINT, SIGTERM};

// Written by handlers of signals, read by the thread. Made once, never closed.
int pipe_ends[2] = {-1, -1};
struct sigaction earlier[std::size(kSignals)];

std::mutex text_mutex;
std::string waiting_text;
// Signals that came while this was installed; those that JavaScript answered.
std::atomic<int> received{0};
std::atomic<int> answered{0};
std::atomic<bool> installed{false};

// Does what was done on the signal before, so that JavaScript hears of it too.
void on_signal(int signal, siginfo_t* info, void* context) {
  const int saved = errno;
  const auto byte = static_cast<unsigned char>(signal);
  (void)!write(pipe_ends[1], &byte, 1);
  const struct sigaction& before = earlier[signal == kSignals[0] ? 0 : 1];
  if ((before.sa_flags & SA_SIGINFO) != 0) before.sa_sigaction(signal, info, context);
  else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) before.sa_handler(signal);
  errno = saved;
}

void say(const std::string& line) { (void)!write(STDERR_FILENO, line.data(), line.size()); }

// Waits for the next signal until `end`; 0 if none came. Without an end it waits for ever.
int next_signal(const Clock::time_point* end) {
  for (;;) {
    int timeout = -1;
    if (end != nullptr) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(*end - Clock::now()).count();
      if (left <= 0) return 0;
      timeout = static_cast<int>(left);
    }
    pollfd wait{pipe_ends[0], POLLIN, 0};
    unsigned char byte = 0;
    if (poll(&wait, 1, timeout) > 0 && read(pipe_ends[0], &byte, 1) == 1) return byte;
  }
}

void watch() {
  Clock::time_point end;
  bool is_due = false;
  int last = 0;
  for (;;) {
    const int signal = next_signal(is_due ? &end : nullptr);
    if (signal != 0) {
      // What came before it was taken off again is over.
      if (!installed.load()) continue;
      ++received;
      last = signal;
      // Whoever presses on does not wait longer.
      if (received.load() <= 2) end = Clock::now() + kPatience;
      is_due = true;
      continue;
    }
    is_due = false;
    if (!installed.load() || received.load() == 0) continue;
    if (received.load() > 1) {
      // A live view hides the cursor.
      if (isatty(STDERR_FILENO) != 0) say("\033[?25h");
      say("magrpo: left at once\n");
      _exit(128 + last);
    }
    if (answered.load() > 0) continue;
    const std::lock_guard<std::mutex> lock(text_mutex);
    say(waiting_text + "\n");
  }
}

Napi::Value install(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  {
    const std::lock_guard<std::mutex> lock(text_mutex);
    waiting_text = info[0].As<Napi::String>().Utf8Value();
  }
  received = 0;
  answered = 0;
  if (pipe_ends[0] < 0) {
    if (pipe(pipe_ends) != 0) return Napi::Boolean::New(env, false);
    for (const int end : pipe_ends) fcntl(end, F_SETFD, FD_CLOEXEC);
    // A handler must never wait.
    fcntl(pipe_ends[1], F_SETFL, O_NONBLOCK);
    // The thread takes no signals: it would interrupt its own waiting.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    std::thread(watch).detach();
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  if (!installed.exchange(true)) {
    struct sigaction action{};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < std::size(kSignals); ++i) sigaction(kSignals[i], &action, &earlier[i]);
  }
  return Napi::Boolean::New(env, true);
}

Napi::Value answer(const Napi::CallbackInfo& info) {
  ++answered;
  return info.Env().Undefined();
}

Napi::Value uninstall(const Napi::CallbackInfo& info) {
  if (installed.exchange(false))
    for (size_t i = 0; i < std::size(kSignals); ++i) sigaction(kSignals[i], &earlier[i], nullptr);
  return info.Env().Undefined();
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("install", Napi::Function::New(env, install, "install"));
  exports.Set("answer", Napi::Function::New(env, answer, "answer"));
  exports.Set("uninstall", Napi::Function::New(env, uninstall, "uninstall"));
  return exports;
}

}  // namespace

NODE_API_MODULE(interrupts, init)
