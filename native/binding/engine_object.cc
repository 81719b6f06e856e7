#include "engine_object.h"

#include <chrono>

#include "decode.h"

namespace lorikeet::binding {

Napi::Function EngineObject::define(Napi::Env env) {
  return DefineClass(env, "Engine",
                     {
                         InstanceAccessor<&EngineObject::compute_dtypes>("computeDtypes"),
                         InstanceMethod<&EngineObject::add_weights>("addWeights"),
                         InstanceMethod<&EngineObject::remove_weights>("removeWeights"),
                         InstanceMethod<&EngineObject::create_buffer>("createBuffer"),
                         InstanceMethod<&EngineObject::remove_buffer>("removeBuffer"),
                         InstanceMethod<&EngineObject::load_buffer>("loadBuffer"),
                         InstanceMethod<&EngineObject::read_buffer>("readBuffer"),
                         InstanceMethod<&EngineObject::write_buffer>("writeBuffer"),
                         InstanceMethod<&EngineObject::read_bytes>("readBytes"),
                         InstanceMethod<&EngineObject::write_bytes>("writeBytes"),
                         InstanceMethod<&EngineObject::read_weight>("readWeight"),
                         InstanceMethod<&EngineObject::compile>("compile"),
                         InstanceMethod<&EngineObject::release>("release"),
                         InstanceMethod<&EngineObject::run>("run"),
                         InstanceMethod<&EngineObject::memory>("memory"),
                         InstanceMethod<&EngineObject::measured>("measured"),
                         InstanceMethod<&EngineObject::profile>("profile"),
                         InstanceMethod<&EngineObject::profile_report>("profileReport"),
                         InstanceMethod<&EngineObject::close>("close"),
                     });
}

static void stop_when_environment_ends(void* object) { static_cast<EngineObject*>(object)->shut_down(); }

EngineObject::EngineObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<EngineObject>(info) {
  const Reader options(info[0], "options");
  const Device& device = device_named(options.field("device").text());
  dtypes_ = device.info().compute_dtypes;
  engine_ = device.open(to_engine_options(options));
  worker_ = std::make_unique<Worker>();
  channel_ = Channel::New(info.Env(), "lorikeet engine", 0, 1);
  channel_.Unref(info.Env());
  // Runs before the channel's own hook, which was added earlier: the thread is gone when the channel closes.
  napi_add_env_cleanup_hook(info.Env(), stop_when_environment_ends, this);
}

EngineObject::~EngineObject() { close_now(); }

// The hook goes with the engine: another engine may come to lie at this address.
void EngineObject::close_now() {
  if (!worker_) return;
  napi_remove_env_cleanup_hook(Env(), stop_when_environment_ends, this);
  shut_down();
}

void EngineObject::shut_down() {
  if (!worker_) return;
  engine_->cancel();
  worker_->stop();
  worker_.reset();
  engine_.reset();
  channel_.Release();
}

Engine& EngineObject::engine() {
  require(engine_ != nullptr, "the engine is closed");
  return *engine_;
}

void EngineObject::now(const std::function<void(Engine&)>& task) {
  Engine& target = engine();
  worker_->run_now([&] { task(target); });
}

void EngineObject::deliver(Napi::Env env, Napi::Function, std::nullptr_t*, Message* message) {
  const std::unique_ptr<Message> owned(message);
  if (static_cast<napi_env>(env) != nullptr) (*owned)(env);
}

Napi::Value EngineObject::submit(Napi::Env env, std::unique_ptr<Job> owned) {
  Engine& target = engine();
  Job* job = owned.release();  // deleted by settle()
  job->engine = Napi::Persistent(Value());
  const Napi::Promise promise = job->deferred.Promise();
  if (pending_++ == 0) channel_.Ref(env);  // the process must not end before the promise is settled
  worker_->post([this, &target, job] {
    try {
      job->work(target, job);
    } catch (const std::exception& error) {
      job->failed = true;
      job->error = error.what();
    } catch (...) {
      job->failed = true;
      job->error = "an unknown exception was thrown";
    }
    channel_.NonBlockingCall(new Message([this, job](Napi::Env env) { settle(env, job); }));
  });
  return promise;
}

void EngineObject::settle(Napi::Env env, Job* job) {
  const std::unique_ptr<Job> owned(job);
  if (--pending_ == 0 && worker_) channel_.Unref(env);
  if (!job->thrown.IsEmpty()) return job->deferred.Reject(job->thrown.Value());
  if (!job->failed) {
    try {
      return job->deferred.Resolve(job->result ? job->result(env) : env.Undefined());
    } catch (const std::exception& error) {
      job->error = error.what();
    }
  }
  job->deferred.Reject(Napi::Error::New(env, job->error).Value());
}

void EngineObject::report_progress(Job* job, int64_t done, int64_t total) {
  channel_.NonBlockingCall(new Message([job, done, total](Napi::Env env) {
    if (job->stop) return;
    try {
      job->on_progress.Call(
          {Napi::Number::New(env, static_cast<double>(done)), Napi::Number::New(env, static_cast<double>(total))});
    } catch (const Napi::Error& error) {
      job->thrown = error;
      job->stop = true;
    }
  }));
}

Napi::Value EngineObject::compute_dtypes(const Napi::CallbackInfo& info) {
  Napi::Array names = Napi::Array::New(info.Env(), dtypes_.size());
  for (uint32_t i = 0; i < dtypes_.size(); i++) names.Set(i, dtypes_[i]);
  return names;
}

Napi::Value EngineObject::add_weights(const Napi::CallbackInfo& info) {
  auto job = std::make_unique<Job>(info.Env());
  const Reader on_progress(info[1], "onProgress");
  if (!on_progress.absent()) job->on_progress = Napi::Persistent(on_progress.function());
  const bool wanted = !on_progress.absent();
  job->work = [this, wanted, specs = to_weight_specs(Reader(info[0], "specs"))](Engine& engine, Job* job) {
    using Clock = std::chrono::steady_clock;
    std::mutex mutex;
    Clock::time_point last = Clock::now() - std::chrono::seconds(1);
    std::vector<StorageError> errors = engine.add_weights(specs, [&](int64_t done, int64_t total) {
      if (!wanted) return true;
      const std::lock_guard<std::mutex> lock(mutex);
      const Clock::time_point now = Clock::now();
      if (now - last >= std::chrono::milliseconds(50) || done == total) {
        last = now;
        report_progress(job, done, total);
      }
      return !job->stop;
    });
    job->result = [errors = std::move(errors)](Napi::Env env) { return from_storage_errors(env, errors); };
  };
  return submit(info.Env(), std::move(job));
}

void EngineObject::remove_weights(const Napi::CallbackInfo& info) {
  const Reader list(info[0], "names");
  std::vector<std::string> names;
  for (const Reader& name : list.items()) names.push_back(name.text());
  now([&](Engine& engine) { engine.remove_weights(names); });
}

void EngineObject::create_buffer(const Napi::CallbackInfo& info) {
  const std::string name = Reader(info[0], "name").text();
  const int64_t bytes = Reader(info[1], "bytes").integer();
  const Reader dtype(info[2], "dtype");
  std::optional<DType> type;
  if (!dtype.absent()) type = dtype_from_name(dtype.text());
  now([&](Engine& engine) { engine.create_buffer(name, bytes, type); });
}

void EngineObject::remove_buffer(const Napi::CallbackInfo& info) {
  const std::string name = Reader(info[0], "name").text();
  now([&](Engine& engine) { engine.remove_buffer(name); });
}

Napi::Value EngineObject::load_buffer(const Napi::CallbackInfo& info) {
  auto job = std::make_unique<Job>(info.Env());
  job->work = [name = Reader(info[0], "name").text(), pieces = to_buffer_pieces(Reader(info[1], "pieces"))](
                  Engine& engine, Job*) { engine.load_buffer(name, pieces); };
  return submit(info.Env(), std::move(job));
}

Napi::Value EngineObject::read_buffer(const Napi::CallbackInfo& info) {
  const std::string name = Reader(info[0], "name").text();
  const int64_t offset = Reader(info[1], "offset").integer();
  const int64_t count = Reader(info[2], "count").integer();
  std::vector<float> values;
  now([&](Engine& engine) { values = engine.read_buffer(name, offset, count); });
  return from_floats(info.Env(), values);
}

void EngineObject::write_buffer(const Napi::CallbackInfo& info) {
  const std::string name = Reader(info[0], "name").text();
  const int64_t offset = Reader(info[1], "offset").integer();
  const std::vector<float> values = to_floats(Reader(info[2], "data"));
  now([&](Engine& engine) { engine.write_buffer(name, offset, values); });
}

Napi::Value EngineObject::read_bytes(const Napi::CallbackInfo& info) {
  const std::string name = Reader(info[0], "name").text();
  std::vector<uint8_t> bytes;
  now([&](Engine& engine) { bytes = engine.read_bytes(name); });
  return from_bytes(info.Env(), bytes);
}

void EngineObject::write_bytes(const Napi::CallbackInfo& info) {
  const std::string name = Reader(info[0], "name").text();
  const std::vector<uint8_t> bytes = to_bytes(Reader(info[1], "data"));
  now([&](Engine& engine) { engine.write_bytes(name, bytes); });
}

Napi::Value EngineObject::read_weight(const Napi::CallbackInfo& info) {
  const std::string name = Reader(info[0], "name").text();
  std::vector<float> values;
  now([&](Engine& engine) { values = engine.read_weight(name); });
  return from_floats(info.Env(), values);
}

Napi::Value EngineObject::compile(const Napi::CallbackInfo& info) {
  Program program = to_program(Reader(info[0], "program"));
  int handle = 0;
  now([&](Engine& engine) { handle = engine.compile(std::move(program)); });
  return Napi::Number::New(info.Env(), handle);
}

void EngineObject::release(const Napi::CallbackInfo& info) {
  const int handle = static_cast<int>(Reader(info[0], "handle").integer(INT32_MIN, INT32_MAX));
  now([&](Engine& engine) { engine.release(handle); });
}

Napi::Value EngineObject::run(const Napi::CallbackInfo& info) {
  struct Step {
    int program;
    NamedValues inputs;
  };
  auto steps = std::make_shared<std::vector<Step>>();
  const Reader list(info[0], "steps");
  for (const Reader& item : list.items()) {
    steps->push_back(
        {static_cast<int>(item.field("program").integer(INT32_MIN, INT32_MAX)), to_named_values(item.field("inputs"))});
  }
  auto job = std::make_unique<Job>(info.Env());
  job->work = [steps](Engine& engine, Job* job) {
    auto outputs = std::make_shared<std::vector<NamedValues>>();
    for (const Step& step : *steps) outputs->push_back(engine.run(step.program, step.inputs));
    job->result = [outputs](Napi::Env env) -> Napi::Value {
      Napi::Array results = Napi::Array::New(env, outputs->size());
      for (uint32_t i = 0; i < outputs->size(); i++) results.Set(i, from_named_values(env, (*outputs)[i]));
      return results;
    };
  };
  return submit(info.Env(), std::move(job));
}

Napi::Value EngineObject::memory(const Napi::CallbackInfo& info) {
  MemoryUse use;
  now([&](Engine& engine) { use = engine.memory(); });
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("arena", static_cast<double>(use.arena));
  result.Set("buffers", static_cast<double>(use.buffers));
  result.Set("weights", static_cast<double>(use.weights));
  result.Set("packed", static_cast<double>(use.packed));
  result.Set("staging", static_cast<double>(use.staging));
  result.Set("host", static_cast<double>(use.host));
  result.Set("scratch", static_cast<double>(use.scratch));
  return result;
}

// Without waiting for what is under way.
Napi::Value EngineObject::measured(const Napi::CallbackInfo& info) {
  Napi::Object choices = Napi::Object::New(info.Env());
  for (const auto& [problem, kernel] : engine().measured()) choices.Set(problem, kernel);
  return choices;
}

void EngineObject::profile(const Napi::CallbackInfo& info) {
  const bool enable = Reader(info[0], "enable").boolean();
  now([&](Engine& engine) { engine.profile(enable); });
}

Napi::Value EngineObject::profile_report(const Napi::CallbackInfo& info) {
  std::vector<ProfileEntry> entries;
  now([&](Engine& engine) { entries = engine.profile_report(); });
  Napi::Array report = Napi::Array::New(info.Env(), entries.size());
  for (uint32_t i = 0; i < entries.size(); i++) {
    Napi::Object entry = Napi::Object::New(info.Env());
    entry.Set("op", entries[i].op);
    entry.Set("label", entries[i].label);
    entry.Set("calls", static_cast<double>(entries[i].calls));
    entry.Set("ms", entries[i].milliseconds);
    report.Set(i, entry);
  }
  return report;
}

void EngineObject::close(const Napi::CallbackInfo&) { close_now(); }

}  // namespace lorikeet::binding
