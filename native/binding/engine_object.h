// The JavaScript object `Engine`. Every call is a task of the engine's worker thread, so calls take effect in the order
// in which they were made; the asynchronous ones return promises, the others wait for their turn.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>

#include "../core/device.h"
#include "worker.h"

namespace lorikeet::binding {

class EngineObject : public Napi::ObjectWrap<EngineObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit EngineObject(const Napi::CallbackInfo& info);
  ~EngineObject() override;
  void close_now();
  void shut_down();  // when the environment ends, or by close()

 private:
  // A call under way: its promise, its work for the worker thread and what becomes of the result.
  struct Job {
    explicit Job(Napi::Env env) : deferred(Napi::Promise::Deferred::New(env)) {}
    Napi::Promise::Deferred deferred;
    Napi::ObjectReference engine;         // keeps the engine alive meanwhile
    Napi::FunctionReference on_progress;  // may be empty
    std::function<void(Engine&, Job*)> work;
    std::function<Napi::Value(Napi::Env)> result;  // set by work
    std::string error;
    bool failed = false;
    std::atomic<bool> stop{false};  // the progress function threw
    Napi::Error thrown;
  };
  using Message =
      std::function<void(Napi::Env)>;  // run on the JavaScript thread; deleted without running when that is gone
  static void deliver(Napi::Env env, Napi::Function, std::nullptr_t*, Message* message);
  using Channel = Napi::TypedThreadSafeFunction<std::nullptr_t, Message, deliver>;

  Engine& engine();  // throws Error when closed
  Napi::Value submit(Napi::Env env, std::unique_ptr<Job> job);
  void settle(Napi::Env env, Job* job);
  void report_progress(Job* job, int64_t done, int64_t total);
  void now(const std::function<void(Engine&)>& task);

  Napi::Value compute_dtypes(const Napi::CallbackInfo& info);
  Napi::Value add_weights(const Napi::CallbackInfo& info);
  void remove_weights(const Napi::CallbackInfo& info);
  void create_buffer(const Napi::CallbackInfo& info);
  void remove_buffer(const Napi::CallbackInfo& info);
  Napi::Value load_buffer(const Napi::CallbackInfo& info);
  Napi::Value read_buffer(const Napi::CallbackInfo& info);
  void write_buffer(const Napi::CallbackInfo& info);
  Napi::Value read_bytes(const Napi::CallbackInfo& info);
  void write_bytes(const Napi::CallbackInfo& info);
  Napi::Value read_weight(const Napi::CallbackInfo& info);
  Napi::Value compile(const Napi::CallbackInfo& info);
  void release(const Napi::CallbackInfo& info);
  Napi::Value run(const Napi::CallbackInfo& info);
  Napi::Value memory(const Napi::CallbackInfo& info);
  Napi::Value measured(const Napi::CallbackInfo& info);
  void profile(const Napi::CallbackInfo& info);
  Napi::Value profile_report(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  std::vector<std::string> dtypes_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Worker> worker_;
  Channel channel_;
  int pending_ = 0;
};

}  // namespace lorikeet::binding
