// One thread that runs closures in the order in which they were posted. An engine has its own, so the event loop stays
// free and OpenMP keeps one team of threads instead of one for each thread of libuv's pool.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace lorikeet::binding {

class Worker {
 public:
  Worker();
  ~Worker() { stop(); }
  void post(std::function<void()> task);            // the task must not throw
  void run_now(const std::function<void()>& task);  // waits for it, and for all before it; rethrows what it throws
  void stop();                                      // after the tasks posted so far; further ones are dropped

 private:
  void loop();
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace lorikeet::binding
