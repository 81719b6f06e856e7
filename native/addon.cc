// The addon's exports, declared to TypeScript in lib/native.ts. State belongs to the environment (main thread or worker
// thread) that loaded the addon; what is shared between environments is only written while the library is loaded.
#include <napi.h>

#include "binding/engine_object.h"
#include "binding/reader.h"

namespace lorikeet::binding {

struct EnvironmentState {
  Napi::FunctionReference engine_class;
};

static Napi::Value kernels(const Napi::CallbackInfo& info) {
  const std::string device = Reader(info[0], "device").text();
  const std::vector<std::string> ops = device_named(device).ops();
  Napi::Array names = Napi::Array::New(info.Env(), ops.size());
  for (uint32_t i = 0; i < ops.size(); i++) names.Set(i, ops[i]);
  return names;
}

static Napi::Value list_devices(const Napi::CallbackInfo& info) {
  Napi::Array list = Napi::Array::New(info.Env());
  for (const Device* device : devices()) {
    const DeviceInfo found = device->info();
    Napi::Object entry = Napi::Object::New(info.Env());
    Napi::Array dtypes = Napi::Array::New(info.Env());
    for (uint32_t i = 0; i < found.compute_dtypes.size(); i++) dtypes.Set(i, found.compute_dtypes[i]);
    entry.Set("name", found.name);
    entry.Set("description", found.description);
    entry.Set("computeDtypes", dtypes);
    entry.Set("threads", found.threads);
    entry.Set("isa", found.isa);
    if (found.memory_total > 0) {
      Napi::Object memory = Napi::Object::New(info.Env());
      memory.Set("total", static_cast<double>(found.memory_total));
      const auto free = [device](const Napi::CallbackInfo& info) -> Napi::Value {
        return Napi::Number::New(info.Env(), static_cast<double>(device->memory_free()));
      };
      memory.DefineProperty(Napi::PropertyDescriptor::Accessor(info.Env(), memory, "free", free, napi_enumerable));
      entry.Set("memory", memory);
    }
    list.Set(list.Length(), entry);
  }
  return list;
}

// Kinds of devices that this build could drive but does not find, and why: { cuda: "there is no NVIDIA driver" }.
static Napi::Value missing_devices(const Napi::CallbackInfo& info) {
  Napi::Object missing = Napi::Object::New(info.Env());
  for (const DeviceKind& kind : device_kinds()) {
    if (kind.devices.empty()) missing.Set(kind.name, kind.problem);
  }
  return missing;
}

static Napi::Value open_engine(const Napi::CallbackInfo& info) {
  return info.Env().GetInstanceData<EnvironmentState>()->engine_class.New({info[0]});
}

static Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  auto* state = new EnvironmentState();
  state->engine_class = Napi::Persistent(EngineObject::define(env));
  env.SetInstanceData(state);
  exports.Set("formatVersion", kFormatVersion);
  exports.Set("kernels", Napi::Function::New(env, kernels, "kernels"));
  exports.Set("devices", Napi::Function::New(env, list_devices, "devices"));
  exports.Set("missingDevices", Napi::Function::New(env, missing_devices, "missingDevices"));
  exports.Set("openEngine", Napi::Function::New(env, open_engine, "openEngine"));
  return exports;
}

NODE_API_MODULE(lorikeet, initialise)

}  // namespace lorikeet::binding
