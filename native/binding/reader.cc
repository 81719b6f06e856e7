#include "reader.h"

#include <cmath>

namespace lorikeet::binding {

static const char* kind_of(const Napi::Value& value) {
  if (value.IsUndefined()) return "undefined";
  if (value.IsNull()) return "null";
  if (value.IsArray()) return "an array";
  if (value.IsTypedArray()) return "a typed array";
  if (value.IsString()) return "text";
  if (value.IsNumber()) return "a number";
  if (value.IsBoolean()) return "a boolean";
  if (value.IsFunction()) return "a function";
  return value.IsObject() ? "an object" : "a value of another type";
}

std::string Reader::path() const {
  const std::string before = parent_ ? parent_->path() : "";
  if (!own_name_.empty()) return before + "." + own_name_;
  if (name_ == nullptr) return before + "[" + std::to_string(index_) + "]";
  return before.empty() ? name_ : before + "." + name_;
}

void Reader::expected(const char* what) const { fail(path(), ": expected ", what, ", got ", kind_of(value_)); }

void Reader::require_object() const {
  if (!value_.IsObject() || value_.IsArray() || value_.IsFunction() || value_.IsTypedArray()) expected("an object");
}

Reader Reader::field(const char* name) const {
  require_object();
  return Reader(this, value_.As<Napi::Object>().Get(name), name, 0);
}

std::vector<Reader> Reader::items() const {
  if (!value_.IsArray()) expected("an array");
  const Napi::Array array = value_.As<Napi::Array>();
  std::vector<Reader> result;
  result.reserve(array.Length());
  for (uint32_t i = 0; i < array.Length(); i++) result.push_back(Reader(this, array.Get(i), nullptr, i));
  return result;
}

std::vector<std::pair<std::string, Reader>> Reader::entries() const {
  require_object();
  const Napi::Object object = value_.As<Napi::Object>();
  const Napi::Array names = object.GetPropertyNames();
  std::vector<std::pair<std::string, Reader>> result;
  for (uint32_t i = 0; i < names.Length(); i++) {
    const Napi::Value key = names.Get(i);
    Reader entry(this, object.Get(key), nullptr, 0);
    entry.own_name_ = key.ToString().Utf8Value();
    result.emplace_back(entry.own_name_, entry);
  }
  return result;
}

std::string Reader::text() const {
  if (!value_.IsString()) expected("text");
  return value_.As<Napi::String>().Utf8Value();
}

double Reader::number() const {
  if (!value_.IsNumber()) expected("a number");
  return value_.As<Napi::Number>().DoubleValue();
}

int64_t Reader::integer() const {
  const double number = this->number();
  if (!(std::nearbyint(number) == number && std::fabs(number) <= 9007199254740991.0)) {
    fail(path(), ": expected a whole number, got ", number);
  }
  return static_cast<int64_t>(number);
}

int64_t Reader::integer(int64_t low, int64_t high) const {
  const int64_t number = integer();
  require(number >= low && number <= high, path(), ": expected a number from ", low, " to ", high, ", got ", number);
  return number;
}

bool Reader::boolean() const {
  if (!value_.IsBoolean()) expected("true or false");
  return value_.As<Napi::Boolean>().Value();
}

Napi::Function Reader::function() const {
  if (!value_.IsFunction()) expected("a function");
  return value_.As<Napi::Function>();
}

std::vector<int64_t> Reader::integers() const {
  std::vector<int64_t> result;
  for (const Reader& item : items()) result.push_back(item.integer());
  return result;
}

}  // namespace lorikeet::binding
